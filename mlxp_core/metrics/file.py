"""A file of metrics: a JSON object per line, one continuous history however often its run was restarted."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from typing import Any, NamedTuple

from mlxp_core.files import cannot_write, write_whole

# Not empty in a process that has forked, and in its child processes
_forked: set[bool] = set()
os.register_at_fork(before=lambda: _forked.add(True))
# How often to check that the file is still the open one: an editor may have replaced it
_CHECK_INTERVAL_S = 1


class Position(NamedTuple):
    """The position of a record in the training.

    Attributes:
        kind: "epoch" if the record has an epoch, otherwise "step".
        number: Number of the epoch or the step.
        step: Step of a record that has an epoch; None if it has no step.
    """

    kind: str
    number: float
    step: float | None


class MetricsFile:
    """Appends lines, for all threads and forked processes of one attempt; each line is whole and visible at once.

    Where this attempt starts from an epoch or step that an earlier attempt has logged, the earlier lines from there on
    are moved to `superseded`. They are kept because a run may be restarted by mistake.

    Args:
        path: The file.
        superseded: The file for lines that are replaced.
        earlier: Properties of `path` when this attempt started; None if it did not exist.
        exclusive: Lock against the other processes of this attempt.

    Attributes:
        keys: Keys that this attempt has logged.
    """

    def __init__(
        self,
        path: Path,
        superseded: Path,
        earlier: os.stat_result | None,
        exclusive: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.path = path
        self.keys: set[str] = set()
        self._superseded = superseded
        self._exclusive = exclusive
        # What earlier attempts wrote: the file's identity, and the number of bytes at its beginning
        self._earlier = None if earlier is None else (_identity(earlier), earlier.st_size)
        # Kinds of position that this attempt has logged. The first record of a kind is where the attempt begins; later
        # ones may go back on purpose, such as a last line that names the best epoch
        self._logged: set[str | None] = set()
        self._fd = -1
        self._opened_by = 0  # id of the process that opened the file
        self._check_at = 0.0

    def supersede(self, record: Mapping[str, Any]) -> None:
        """Move the lines that a record, which is about to be appended, replaces; also an incomplete last line.

        Raises:
            RunDirectoryError: The lines cannot be moved.
        """
        kind: str | None = "step" if record.get("epoch") is None else "epoch"
        if self._earlier is None or kind in self._logged:  # fast for all records but the first ones
            return
        new = position(record)
        kind = new.kind if new else None
        if kind in self._logged or (self._logged and kind is None):
            return
        self._logged.add(kind)
        try:
            with self._exclusive():
                self._move_superseded(new, *self._earlier)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def append(self, line: bytes) -> None:
        """Append a line.

        Raises:
            RunDirectoryError: The line cannot be written.
        """
        try:
            # Another process of this attempt may be in the middle of a line, or may replace the file
            with self._exclusive() if _forked else nullcontext():
                if (_forked and self._earlier) or time.monotonic() > self._check_at or os.getpid() != self._opened_by:
                    self._open()
                self._write(line)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        # Not in a child process, which may have closed all its files and reused the file descriptor
        if self._opened_by == os.getpid():
            os.close(self._fd)
        self._opened_by = 0

    def _write(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError:  # the disk is full: remove the partial line, unless another process's line follows it
            end = os.lseek(self._fd, 0, os.SEEK_CUR)
            if written and os.fstat(self._fd).st_size == end:
                os.ftruncate(self._fd, end - written)
            raise

    def _open(self) -> None:
        """Make sure that the right file is open: it may have been removed or replaced, or this process forked."""
        self._check_at = time.monotonic() + _CHECK_INTERVAL_S
        pid = os.getpid()
        with suppress(OSError):  # the file is gone, or the application closed a descriptor that it did not open
            if self._opened_by == pid and _identity(self.path.stat()) == _identity(os.fstat(self._fd)):
                return
        # The old descriptor is not closed: it may be another file's by now
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        self._opened_by = pid
        try:
            size = os.fstat(self._fd).st_size
            if size and os.pread(self._fd, 1, size - 1) != b"\n":
                os.write(self._fd, b"\n")  # a torn line must not swallow the next one
        except OSError:
            self.close()
            raise

    def _move_superseded(self, new: Position | None, identity: tuple[int, int], size: int) -> None:
        if not self.path.exists() or _identity(self.path.stat()) != identity:
            self._logged |= {"epoch", "step"}  # removed, or another process of this attempt has done it
            return
        content = self.path.read_bytes()
        kept: list[bytes] = []
        moved: list[bytes] = []
        for line in filter(None, content[:size].split(b"\n")):
            record = _record(line)
            (moved if record is None or (new and _is_from(record, new)) else kept).append(line + b"\n")
        if moved:
            self._superseded.parent.mkdir(parents=True, exist_ok=True)
            with self._superseded.open("ab") as file:
                file.writelines(moved)
            self.close()
            write_whole(self.path, b"".join([*kept, content[size:].lstrip(b"\n")]).decode())
            self._earlier = (_identity(self.path.stat()), sum(map(len, kept)))


def position(record: Mapping[str, Any]) -> Position | None:
    """Return the position of a record in the training; None if it has neither an epoch nor a step."""
    epoch, step = (_number(record.get(key)) for key in ("epoch", "step"))
    if epoch is not None:
        return Position("epoch", epoch, step)
    return None if step is None else Position("step", step, None)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return value if is_number else None


def _is_from(record: Mapping[str, Any], new: Position) -> bool:
    """Return whether a record is at or after the position of a new record.

    A record that has an epoch but no step is the end of its epoch; such a new record replaces the whole epoch.
    """
    old = position(record)
    if old is None or old.kind != new.kind:
        return False
    end = math.inf if old.step is None else old.step
    return (old.number, end) >= (new.number, -math.inf if new.step is None else new.step)


def _record(line: bytes) -> dict[str, Any] | None:
    """Parse a line; None if it is not a whole record."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino
