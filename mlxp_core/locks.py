"""A lock between processes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
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
        RunDirectoryError: The file cannot be created.
    """
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.say(f"{activity} by another process; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield lock
    finally:
        os.close(lock)
