"""A file of metrics: a JSON object a line, one trajectory however often its run was started again."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from mlxp_core.files import cannot_write, write_whole

# Not empty in a process that has forked, and in its forks
_forked: set[bool] = set()
os.register_at_fork(before=lambda: _forked.add(True))
# How often a file is looked for: an editor may have replaced it
_CHECK_S = 1


class Position(NamedTuple):
    """Where in the training a record is.

    Attributes:
        kind: whether it is told by `epoch` or by `step` alone.
        number: of the epoch, or of the step.
        step: within `kind` epoch, where the record has one.
    """

    kind: str
    number: float
    step: float | None


class MetricsFile:
    """Appends lines, for all threads and forked processes of one attempt; each line is whole, and there at once.

    Where this attempt goes back to an epoch or a step that an earlier one had logged, that one's lines from there on
    leave the file. They go to `superseded`, which nobody reads: a run may be started again by mistake.

    Args:
        path: the file.
        superseded: the file for lines that left it.
        earlier: `path` as it was when this attempt started; None when there was none.
        alone: what keeps the other processes of this attempt out.

    Attributes:
        keys: that this attempt has logged.
    """

    def __init__(
        self,
        path: Path,
        superseded: Path,
        earlier: os.stat_result | None,
        alone: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.path = path
        self.keys: set[str] = set()
        self._superseded = superseded
        self._alone = alone
        # The earlier attempts' part: the file's identity, and how many bytes at its beginning
        self._earlier = None if earlier is None else (_identity(earlier), earlier.st_size)
        # Kinds of position that this attempt has logged. The first record of a kind tells where the attempt begins;
        # later ones may go back on purpose, as a last line does that names the best epoch
        self._logged: set[str | None] = set()
        self._fd = -1
        self._open_in = 0  # the process that opened it
        self._check_at = 0.0

    def supersede(self, record: Mapping[str, Any]) -> None:
        """Before a record is appended: take out what it supersedes, and a line that a killed process left half.

        Raises:
            RunDirectoryError: it cannot be taken out.
        """
        told_by = "step" if record.get("epoch") is None else "epoch"
        if self._earlier is None or told_by in self._logged:  # fast, for all records but the first ones
            return
        new = position(record)
        kind = new.kind if new else None
        if kind in self._logged or (self._logged and kind is None):
            return
        self._logged.add(kind)
        try:
            with self._alone():
                self._take_out(new, *self._earlier)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def append(self, line: bytes) -> None:
        """Append a line.

        Raises:
            RunDirectoryError: it cannot be written.
        """
        try:
            if _forked and self._earlier:  # another process of this attempt may replace the file
                with self._alone():
                    self._open()
                    self._write(line)
            else:
                if time.monotonic() > self._check_at or os.getpid() != self._open_in:
                    self._open()
                self._write(line)
        except OSError as error:
            raise cannot_write(self.path, error) from error

    def close(self) -> None:
        """Close the file; the next line opens it again."""
        # Not in a fork, which may have closed all its files and given the number to another
        if self._open_in == os.getpid():
            os.close(self._fd)
        self._open_in = 0

    def _write(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(self._fd, line[written:])
        except OSError:  # the disk is full: take the part back, unless another process's line is behind it
            end = os.lseek(self._fd, 0, os.SEEK_CUR)
            if written and os.fstat(self._fd).st_size == end:
                os.ftruncate(self._fd, end - written)
            raise

    def _open(self) -> None:
        """Make sure that the right file is open: it may be removed or replaced by now, and this process be a fork."""
        self._check_at = time.monotonic() + _CHECK_S
        pid = os.getpid()
        with suppress(OSError):  # there is no file, or the application closed what it did not open
            if self._open_in == pid and _identity(self.path.stat()) == _identity(os.fstat(self._fd)):
                return
        # The old one stays open: its number may be another file's by now
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o666)
        self._open_in = pid
        try:
            size = os.fstat(self._fd).st_size
            if size and os.pread(self._fd, 1, size - 1) != b"\n":
                os.write(self._fd, b"\n")  # a torn line must not take the next one along
        except OSError:
            self.close()
            raise

    def _take_out(self, new: Position | None, identity: tuple[int, int], size: int) -> None:
        if not self.path.exists() or _identity(self.path.stat()) != identity:
            self._logged |= {"epoch", "step"}  # removed, or another process of this attempt was here before
            return
        content = self.path.read_bytes()
        kept: list[bytes] = []
        gone: list[bytes] = []
        for line in filter(None, content[:size].split(b"\n")):
            record = _record(line)
            (gone if record is None or (new and _is_from(record, new)) else kept).append(line + b"\n")
        if gone:
            self._superseded.parent.mkdir(parents=True, exist_ok=True)
            with self._superseded.open("ab") as file:
                file.writelines(gone)
            self.close()
            write_whole(self.path, b"".join([*kept, content[size:].lstrip(b"\n")]).decode())
            self._earlier = (_identity(self.path.stat()), sum(map(len, kept)))


def position(record: Mapping[str, Any]) -> Position | None:
    """Where in the training a record is, if it says so."""
    epoch, step = (_number(record.get(key)) for key in ("epoch", "step"))
    if epoch is not None:
        return Position("epoch", epoch, step)
    return None if step is None else Position("step", step, None)


def _number(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    return value if is_number else None


def _is_from(record: Mapping[str, Any], new: Position) -> bool:
    """Whether a record is at a position or behind it. One without a step is the end of its epoch, or asks for all."""
    there = position(record)
    if there is None or there.kind != new.kind:
        return False
    end = math.inf if there.step is None else there.step
    return (there.number, end) >= (new.number, -math.inf if new.step is None else new.step)


def _record(line: bytes) -> dict[str, Any] | None:
    """What a line says; None when it is no whole record."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def _identity(stat: os.stat_result) -> tuple[int, int]:
    return stat.st_dev, stat.st_ino
