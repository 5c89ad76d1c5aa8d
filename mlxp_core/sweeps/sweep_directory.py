"""The directory of a sweep: Hydra's multirun.yaml, and the directories and journals of its launches."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlxp_core.files import check_writable
from mlxp_core.interrupts import raise_on_signals
from mlxp_core.launch.launch import lock_launch, make_directory
from mlxp_core.launch.plan import PLAN
from mlxp_core.locks import is_at


class SweepDirectory:
    """The directory of one sweep, before Hydra makes it.

    Attributes:
        path: Absolute path.
        launches: Number of launch directories made so far.

    Raises (when made):
        RunDirectoryError: The directory cannot be made or written.
    """

    def __init__(self, path: Path) -> None:
        check_writable(path)
        self.path = path
        self.launches = 0
        self._missing = [directory for directory in (path, *path.parents) if not directory.exists()]

    @contextmanager
    def new_launch(self) -> Iterator[tuple[Path, int]]:
        """Make the directory of one more launch and lock it; yield it with a file descriptor that holds the lock.

        The directory is removed again after an error or interrupt before its plan is written.

        Raises:
            RunDirectoryError: The directory cannot be made.
        """
        self.launches += 1
        directory = make_directory(self.path, self.launches)
        with lock_launch(directory) as lock:
            try:
                yield directory, lock
            except BaseException:
                # If the launch removed itself, another one may have a directory of this name by now
                if not (directory / PLAN).exists() and is_at(directory / "lock", lock):
                    shutil.rmtree(directory, ignore_errors=True)
                raise

    @contextmanager
    def removed_on_failure(self) -> Iterator[None]:
        """Remove the directory after an error or interrupt, if nothing but Hydra's multirun.yaml is in it.

        Raises:
            KeyboardInterrupt: The user interrupted the block, by any signal that stops a program.
        """
        try:
            with raise_on_signals():
                yield
        except BaseException:
            self._remove()
            raise

    def _remove(self) -> None:
        if self._missing and {entry.name for entry in self.path.glob("*")} <= {"multirun.yaml"}:
            with suppress(OSError):
                (self.path / "multirun.yaml").unlink(missing_ok=True)
                for directory in self._missing:
                    directory.rmdir()
