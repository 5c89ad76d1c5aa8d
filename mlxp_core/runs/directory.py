"""Run directories: the paths in them, and the numbers that `mlxp_logging` gives them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from mlxp_core.files import cannot_write, write_whole

# The numbers given so far, one per line, in the order in which processes took them. The file saves listing the
# directory, and keeps the number of a deleted run from being reused. A number is taken only by mkdir.
NUMBERS = ".numbers"
# More lines than processes can append between a process's reading and its own line
_TAIL_BYTES = 512
# Directories that this process has prepared
_made: set[Path] = set()


@dataclass(frozen=True)
class RunDirectory:
    """The directory of one run.

    Attributes:
        path: The absolute directory (`hydra.runtime.output_dir`).
        output_subdir: Hydra's `hydra.output_subdir` in it; None if Hydra writes none.
    """

    path: Path
    output_subdir: str | None

    @property
    def script(self) -> Path:
        return self.path / "script.sh"

    @property
    def stdout(self) -> Path:
        return self.path / "log.stdout"

    @property
    def stderr(self) -> Path:
        return self.path / "log.stderr"

    @property
    def metadata(self) -> Path:
        return self.path / (self.output_subdir or "")

    @property
    def info(self) -> Path:
        return self.metadata / "info.yaml"

    @property
    def lock(self) -> Path:
        """File that the run's process has locked; see `start_lock`."""
        return self.metadata / ".lock"

    @property
    def settings(self) -> Path:
        return self.metadata / "mlxpy.yaml"

    @property
    def job_return(self) -> Path:
        return self.metadata / "job_return.pickle"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics"

    @property
    def artifacts(self) -> Path:
        return self.path / "artifacts"

    def make(self) -> bool:
        """Make the directory, and the one of its record; return whether the latter is new, so that no run has used it.

        Directories above the run's are not made: then it is not new.

        Raises:
            RunDirectoryError: A directory cannot be made.
        """
        try:
            try:
                self.metadata.mkdir()
            except FileNotFoundError:  # mlxp_logging has made the run's directory already
                self.path.mkdir()
                if self.metadata != self.path:
                    self.metadata.mkdir()
        except (FileExistsError, FileNotFoundError):
            return False
        except OSError as error:
            raise cannot_write(self.path, error) from error
        return True

    @property
    def number(self) -> int | None:
        """The run's number; None if runs are not numbered here."""
        is_numbered = self.path.name.isdecimal() and (self.path.parent / NUMBERS).exists()
        return int(self.path.name) if is_numbered else None


def has_files(path: str) -> bool:
    """Return whether a directory or one below it contains a file."""
    return any(files for _, _, files in os.walk(path))


def allocate_run(root: Path) -> Path:
    """Make the directory of the next numbered run in `root`, an absolute path; numbers start at 1.

    This is safe against other processes and machines that do the same: mkdir is the lock. The cost does not depend on
    the number of runs.

    Raises:
        RunDirectoryError: The directory cannot be made.
    """
    try:
        if root not in _made:
            _make_root(root)
            _made.add(root)
        number = _last_number(root) + 1
        while True:
            try:
                (root / str(number)).mkdir()
                break
            except FileExistsError:
                number += 1
        _append_number(root, number)
    except OSError as error:
        raise cannot_write(root, error) from error
    return root / str(number)


def open_run(root: Path, number: int) -> Path:
    """Return the directory of the run with a given number; make it if it does not exist.

    Raises:
        RunDirectoryError: The directory cannot be made.
    """
    path = root / str(number)
    try:
        _make_root(root)
        path.mkdir(exist_ok=True)
        if number > _last_number(root):
            _append_number(root, number)
    except OSError as error:
        raise cannot_write(path, error) from error
    return path


def _make_root(root: Path) -> None:
    ignore = root / ".gitignore"
    if not ignore.exists():  # the first run here: results are not part of the code
        write_whole(ignore, "*\n")


def _last_number(root: Path) -> int:
    """Return the highest number given."""
    try:
        with (root / NUMBERS).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _TAIL_BYTES))
            return max(map(int, file.read().split()))
    except (FileNotFoundError, ValueError):  # the first run, or the file was removed or emptied
        last = max((int(entry.name) for entry in os.scandir(root) if entry.name.isdecimal()), default=0)
        _append_number(root, last)
        return last


def _append_number(root: Path, number: int) -> None:
    # Append, so that a process cannot replace a higher number that another process has just written
    with (root / NUMBERS).open("a") as file:
        file.write(f"{number}\n")
