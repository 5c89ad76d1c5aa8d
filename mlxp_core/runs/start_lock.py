"""A run's process holds a lock in the run's directory, so that the run is not started twice at the same time.

It is a POSIX lock (fcntl(2)): it ends with the process that took it, however that process ends, its children do not
inherit it, and NFS has it between hosts. It also ends when the process closes any descriptor of the file, so nothing
else opens the file in a run.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from pathlib import Path

# Exit status of a start that was refused (EX_TEMPFAIL of sysexits.h)
REFUSED = 75
# In seconds: the holder writes its id just after it took the lock
_WRITE_TIMEOUT_S = 1
_POLL_INTERVAL_S = 0.01
# `struct flock` of Linux on 64 bits: type, whence, start, length, process id
_FLOCK = "hhqqi4x"

# The locks that this process holds: the descriptor of each file
_held: dict[Path, int] = {}


def lock_run(path: Path, start: str) -> str | None:
    """Take the lock of a run for this process, which holds it until its end.

    Args:
        path: File of the lock, in the run's directory; it is created if it does not exist.
        start: Id of the start that this process belongs to.

    Returns:
        The id of the start whose process holds the lock: `start` itself, also if another process of it holds the lock;
        None if this process may not or cannot lock the file, so that nothing is known.

    Raises:
        OSError: The file cannot be opened.
    """
    if path in _held:
        return start
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        holder = _holder(descriptor, start)
        os.close(descriptor)
        return holder
    except OSError:  # a file system without locks
        os.close(descriptor)
        return None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{start}\n".encode(), 0)
    _held[path] = descriptor
    return start


def holds_lock(path: Path) -> bool:
    """Return whether this process itself holds a run's lock."""
    return path in _held


def is_locked(path: Path) -> bool:
    """Return whether the process of a run holds its lock; False also where that cannot be seen."""
    if path in _held:
        return True
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        # Only looks: a lock taken here for a moment would refuse a start at that moment
        request = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_GETLK, request)
        return bool(struct.unpack(_FLOCK, answer)[0] != fcntl.F_UNLCK)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def release_lock(path: Path) -> None:
    """Release the lock of a run that has ended; the process may continue with other runs."""
    descriptor = _held.pop(path, None)
    if descriptor is not None:
        os.close(descriptor)


def _holder(descriptor: int, start: str) -> str:
    """Return the id in a locked file; another process of this start may be about to write it."""
    end = time.monotonic() + _WRITE_TIMEOUT_S
    while True:
        text = os.pread(descriptor, 100, 0).decode(errors="replace").strip()
        if text == start or time.monotonic() > end:
            return text
        time.sleep(_POLL_INTERVAL_S)
