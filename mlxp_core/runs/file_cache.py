"""A cache of what was read from files, so that files that have not changed are not read again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlxp_core.errors import RunDirectoryError
from mlxp_core.files import read_regular, write_whole

_NAME = ".mlxp-cache.json"
_FORMAT = 1
# A younger file may change again within the same tick of its file system's clock
_MIN_AGE_NS = 2_000_000_000


class FileCache:
    """Values read from files below a directory, kept in one file there.

    A damaged cache counts as empty, and none is kept in another user's directory. The file appears whole; when two
    processes save at once, the later one's stays.

    Args:
        directory: Absolute directory of the files. None to keep nothing, for a few files.
        name: Name of the cache's own file; each kind of value has a cache of its own.
    """

    def __init__(self, directory: Path | None, name: str = _NAME) -> None:
        self._file = directory / name if directory else None
        self._prefix = f"{directory}/" if directory else ""
        # By the file's path below the directory: its properties when it was read, and the value
        self._known = self._load()
        self._used: dict[str, list[Any]] = {}
        self._saved = dict(self._known)

    def read(self, path: str, parse: Callable[[bytes], Any]) -> Any:
        """Return what `parse` makes of a file: a plain value, which callers do not modify.

        Args:
            path: File below the directory.
            parse: Function of the file's content.

        Raises:
            OSError: The file cannot be read, or is not a regular file.
        """
        return self.get(path, os.stat(path), lambda: parse(read_regular(path)))

    def get(self, path: str, stat: os.stat_result, make: Callable[[], Any]) -> Any:
        """Return what `make` returns for a file with these properties, or what it returned for them before."""
        properties = [stat.st_mtime_ns, stat.st_size, stat.st_ino]
        if not path.startswith(self._prefix):  # a run outside, of a sweep in the directory
            return make()
        name = path[len(self._prefix) :]
        entry = self._known.get(name)
        if entry is None or entry[0] != properties:
            entry = [properties, make()]
            if time.time_ns() - stat.st_mtime_ns < _MIN_AGE_NS:
                return entry[1]
            self._known[name] = entry
        self._used[name] = entry
        return entry[1]

    def save(self) -> None:
        """Write the values of files of those runs that were used since this cache was made, if they have changed."""
        runs = {_top(name) for name in self._used}
        # Another command may read other files of the same runs; those of deleted runs are not kept
        kept = {name: entry for name, entry in self._known.items() if _top(name) in runs}
        if self._file is None or kept == self._saved:
            return
        try:
            if self._file.parent.stat().st_uid != os.getuid():
                return
            write_whole(self._file, json.dumps({"format": _FORMAT, "files": kept}))
        except (OSError, RunDirectoryError, TypeError, ValueError):  # a full disk, a date in a record
            return
        self._saved = kept

    def _load(self) -> dict[str, list[Any]]:
        if self._file is None:
            return {}
        try:
            kept = json.loads(read_regular(self._file))
            if kept["format"] != _FORMAT:
                return {}
            return {name: [list(properties), value] for name, (properties, value) in kept["files"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}


def _top(name: str) -> str:
    return name.partition("/")[0]
