"""Keeping two processes from doing the same thing at once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlxp_core import console
from mlxp_core.files import cannot_write


@contextmanager
def locked(path: Path, what: str) -> Iterator[int]:
    """Hold a lock, waiting for the process that has it; yields a file descriptor that holds it.

    A program that inherits the descriptor holds the lock too, until it has ended, even if this process is gone before.
    This is what no library's lock does.

    Args:
        path: of the file that is locked; made when it is not there.
        what: what the other process does, as the beginning of a sentence: `logs is being tidied up`.

    Raises:
        RunDirectoryError: the file cannot be made.
    """
    try:
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            console.say(f"{what} by another process; waiting for it ...")
            fcntl.flock(lock, fcntl.LOCK_EX)
        except OSError:  # a file system without locks
            pass
        yield lock
    finally:
        os.close(lock)
