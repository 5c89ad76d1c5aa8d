"""The runs that may use safe copies, in all directories of runs of a repository."""

from __future__ import annotations

import stat
from collections.abc import Hashable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxp_core.errors import NoRunsError, RunDirectoryError
from mlxp_core.runs.reader import RunReader, RunRecord
from mlxp_core.versioning.copy_usage import common_directory, registered_roots


def file_key(path: Path | str) -> Hashable:
    """Return a key that is the same for all paths of a file; for a path without a file, the path itself."""
    try:
        status = Path(path).stat()
    except OSError:
        return str(path)
    return status.st_dev, status.st_ino


@dataclass(frozen=True)
class Users:
    """The runs that may use a safe copy.

    Attributes:
        runs: Runs that use it.
        known: All runs of its repository.
        unreadable: Directories of runs that cannot be read.
        missing: Directories that had runs and no longer exist, unless their runs were read elsewhere.
    """

    runs: Sequence[RunRecord]
    known: Sequence[RunRecord]
    unreadable: Sequence[Path]
    missing: Sequence[Path]


class RunRoots:
    """Directories of runs, each read only once.

    Args:
        directory: Directory of runs that is read even if no repository names it.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._read: dict[Path, list[RunRecord] | None] = {}
        self._keys: dict[str, Hashable] = {}

    def users(self, copy: Path) -> Users:
        """Return the runs that may use a safe copy."""
        common = common_directory(copy)
        registered = (registered_roots(common) or []) if common is not None else []
        # The registered path first: it is the one that plans name
        roots = {self._key(root): root for root in (self.directory, *reversed(registered))}.values()
        found = {self._key(run.path): run for root in roots for run in self.runs(root) or ()}
        moved_from = {str(Path(run.recorded_as).parent) for run in found.values()}
        return Users(
            runs=[run for run in found.values() if self._uses(run, copy)],
            known=list(found.values()),
            unreadable=[root for root in roots if self.runs(root) is None],
            missing=[root for root in registered if _is_missing(root) and str(root) not in moved_from],
        )

    def runs(self, root: Path) -> list[RunRecord] | None:
        """Return the runs in a directory; None if it cannot be read."""
        if root not in self._read:
            self._read[root] = None
            with suppress(RunDirectoryError, OSError):
                try:
                    self._read[root] = RunReader(root).read()
                except NoRunsError:  # also if the directory does not exist
                    self._read[root] = []
        return self._read[root]

    def _uses(self, run: RunRecord, copy: Path) -> bool:
        recorded = copy_of(run)
        if recorded is None:
            return False
        key = self._key(recorded)
        # A copy that is no longer at the recorded path may be this one, in a directory that was moved
        return key == self._key(copy) or (key == recorded and Path(recorded).name == copy.name)

    def _key(self, path: Path | str) -> Hashable:
        text = str(path)
        if text not in self._keys:
            self._keys[text] = file_key(text)
        return self._keys[text]


def copy_of(run: RunRecord) -> str | None:
    """Return the path of the safe copy that a run uses, as recorded; None if it uses none."""
    copy = version_of(run).get("safe_copy")
    return str(copy) if copy else None


def version_of(run: RunRecord) -> Mapping[str, Any]:
    """Return which code a run uses, as recorded; empty if that is not recorded."""
    version = run.info.get("version_manager")
    return version if isinstance(version, dict) else {}


def _is_missing(root: Path) -> bool:
    try:
        return not stat.S_ISDIR(root.stat().st_mode)
    except PermissionError:
        return False
    except OSError:  # also a loop of symbolic links
        return True
