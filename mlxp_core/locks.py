"""Locks between processes."""

from __future__ import annotations

import atexit
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlxp_core import console
from mlxp_core.files import cannot_write


@contextmanager
def locked(path: Path, activity: str) -> Iterator[int]:
    """Hold a lock, after waiting for a process that has it; yield a file descriptor that holds it.

    A program that inherits the descriptor also holds the lock, until it exits, even if this process exits earlier. The
    lock packages on PyPI (filelock, portalocker) do not offer that.

    Args:
        path: File to lock; created if it does not exist.
        activity: What the other process does, as the beginning of a sentence: `logs is being cleaned up`.

    Raises:
        RunDirectoryError: The file cannot be created. Its directory may have been removed during the wait.
    """
    while True:
        lock = _open(path)
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                console.say(f"{activity} by another process; waiting for it ...")
                fcntl.flock(lock, fcntl.LOCK_EX)
            except OSError:  # a file system without locks
                pass
            if is_at(path, lock):
                yield lock
                return
        finally:
            os.close(lock)


def is_held(path: Path) -> bool:
    """Return whether a process holds a lock that `locked` takes; False on a file system without locks."""
    try:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    except OSError:  # no lock file, or a file system without locks
        pass
    return False


def lock_until_exit(path: Path) -> str:
    """Take a lock and keep it until this process exits, unless another process has it.

    This process may take the lock several times. Programs that it starts do not hold it.

    Args:
        path: File to lock; created if it does not exist, and removed at the exit.

    Returns:
        The process that has the lock; empty if this process has it now.

    Raises:
        RunDirectoryError: The file cannot be created.
    """
    while True:
        lock = _open(path)
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            owner = os.pread(lock, 200, 0).decode(errors="replace")
            os.close(lock)
            return owner or "another process"
        except OSError:  # a file system without locks
            os.close(lock)
            return ""
        if is_at(path, lock):
            break
        os.close(lock)
    process_id = os.getpid()

    def remove() -> None:
        if os.getpid() == process_id:  # not in a child that the application forked
            path.unlink(missing_ok=True)

    with suppress(OSError):  # a full disk
        os.truncate(lock, 0)
        os.pwrite(lock, f"process {process_id} on {socket.gethostname()}".encode(), 0)
    atexit.register(remove)
    return ""


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error


def is_at(path: Path, lock: int) -> bool:
    """Return whether an open file is still the one at a path; its last owner may have removed it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(lock))
    except FileNotFoundError:
        return False
