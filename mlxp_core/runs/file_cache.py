"""What files held when they were read last, so that those that did not change are not read again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlxp_core.errors import RunDirectoryError
from mlxp_core.files import write_whole

_NAME = ".mlxp-cache.json"
_FORMAT = 1
# A file so young may change again within the same tick of its file system's clock
_YOUNG_NS = 2_000_000_000
# A file that is shorter is read at once
_USUAL_BYTES = 65536


class FileCache:
    """Values read from files below a directory, kept in one file there.

    It is a convenience: damaged, or in another user's directory, it is as good as none. It appears whole, and of two
    processes at once the later one's stays.

    Args:
        directory: absolute; the files below it are remembered. None for a few files, which are better read again.

    Attributes:
        used: what was asked for, by the file's path below the directory: its properties and the value.
    """

    def __init__(self, directory: Path | None) -> None:
        self._file = directory / _NAME if directory else None
        self._prefix = len(str(directory)) + 1 if directory else 0
        self._known = self._read()
        self._saved = dict(self._known)
        self.used: dict[str, list[Any]] = {}

    def read(self, path: str, parse: Callable[[bytes], Any]) -> Any:
        """What `parse` makes of a file; a plain value, which is not to be changed.

        Args:
            path: below the directory.
            parse: of the whole file; what it raises goes on.

        Raises:
            OSError: the file cannot be read.
        """
        return self.get(path, os.stat(path), lambda: parse(_bytes(path)))

    def get(self, path: str, stat: os.stat_result, make: Callable[[], Any]) -> Any:
        """What `make` returns for a file of these properties, or what it returned for them before."""
        mark = [stat.st_mtime_ns, stat.st_size, stat.st_ino]
        name = path[self._prefix :]
        entry = self._known.get(name)
        if entry is None or entry[0] != mark:
            entry = [mark, make()]
            if time.time_ns() - stat.st_mtime_ns < _YOUNG_NS:
                return entry[1]
            self._known[name] = entry
        self.used[name] = entry
        return entry[1]

    def save(self) -> None:
        """Keep for the next time what was read this time, if it is more or other than before."""
        if self._file is None or self.used == self._saved:
            return
        try:
            if self._file.parent.stat().st_uid != os.getuid():
                return
            write_whole(self._file, json.dumps({"format": _FORMAT, "files": self.used}))
        except (OSError, RunDirectoryError, TypeError, ValueError):  # a full disk, a date in a record
            return
        self._saved = dict(self.used)

    def _read(self) -> dict[str, list[Any]]:
        if self._file is None:
            return {}
        try:
            kept = json.loads(self._file.read_bytes())
            if kept["format"] != _FORMAT:
                return {}
            return {name: [list(mark), value] for name, (mark, value) in kept["files"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return {}


def _bytes(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        text = os.read(descriptor, _USUAL_BYTES)
        while len(text) >= _USUAL_BYTES and (more := os.read(descriptor, len(text))):
            text += more
        return text
    finally:
        os.close(descriptor)
