"""Reading and writing files: whole or not at all, and with one error for what cannot be read or written."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from pathlib import Path

from mlxp_core.errors import RunDirectoryError


def write_whole(path: Path, text: str, mode: int = 0o666, *, durable: bool = False) -> None:
    """Write a file so that readers see the old text or the new one, never a part.

    Args:
        path: The file; missing directories above it are made.
        text: Its new text.
        mode: Permissions of the file, without those that the umask forbids.
        durable: Whether the text must be on the disk before it replaces the old one; otherwise a power cut may leave an
            empty file. It takes milliseconds, which is too long for each file of a launch of a thousand runs.

    Raises:
        RunDirectoryError: The file cannot be written (permissions, a full disk, ...).
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _create(temporary, text, mode, durable=durable)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error


def write_new(path: Path, text: str, mode: int = 0o666) -> None:
    """Create a file that has no readers yet, by one operation of the file system instead of three.

    Args:
        path: The file, which must not exist.
        text: Its text.
        mode: Permissions of the file, without those that the umask forbids.

    Raises:
        FileExistsError: There is such a file.
        RunDirectoryError: The file cannot be written (permissions, a full disk, ...).
    """
    try:
        _create(path, text, mode, durable=False)
    except FileExistsError:
        raise
    except OSError as error:
        raise cannot_write(path, error) from error


def _create(path: Path, text: str, mode: int, *, durable: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        left = text.encode()
        while left:  # one write, unless the disk is full
            left = left[os.write(descriptor, left) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_if_there(path: Path) -> bytes | None:
    """Return the content of a file; None if there is no such file.

    Raises:
        RunDirectoryError: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunDirectoryError(f"Cannot read {path}: {error.strerror}. Choose another directory.") from error


def read_regular(path: Path | str) -> bytes:
    """Return the content of a regular file; anything else, such as a FIFO, could block its reader for ever.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
    """
    return read_with_owner(path)[0]


def read_with_owner(path: Path | str) -> tuple[bytes, int]:
    """Return the content of a regular file, and the user id of its owner.

    Raises:
        OSError: The file cannot be read, or is not a regular file.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO is opened without waiting for a writer
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        content = os.read(descriptor, status.st_size)
        while len(content) < status.st_size and (more := os.read(descriptor, status.st_size - len(content))):
            content += more
        return content, status.st_uid
    finally:
        os.close(descriptor)


def name_of_user(uid: int | None) -> str:
    """Return the login name of a user, or `user 1000` where the id has no name."""
    if uid is None:
        return "an unknown user"
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"


def cannot_write(path: Path, error: OSError) -> RunDirectoryError:
    """Return the error for a path that cannot be written."""
    return RunDirectoryError(f"Cannot write {path}: {error.strerror}. Make room or choose another directory.")


def check_writable(directory: Path) -> None:
    """Check, without writing, that a directory can be written, or made.

    Raises:
        RunDirectoryError: It cannot.
    """
    existing = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    if not existing.is_dir() or not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        reason = "may not be read and written by this user" if existing.is_dir() else "is not a directory"
        raise RunDirectoryError(f"Cannot write in {directory}: {existing} {reason}. Choose another directory.")
