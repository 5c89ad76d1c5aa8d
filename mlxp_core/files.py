"""Files that appear whole or not at all, and one error for what cannot be read or written."""

from __future__ import annotations

import os
from pathlib import Path

from mlxp_core.errors import RunDirectoryError


def write_whole(path: Path, text: str, mode: int = 0o666) -> None:
    """Write a file so that readers see the old text or the new one, never a part; `mode` is cut by the umask.

    Raises:
        RunDirectoryError: it cannot be written (permissions, a full disk, ...).
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "w", encoding="utf-8", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                file.write(text)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise cannot_write(path, error) from error


def read_if_there(path: Path) -> bytes | None:
    """What a file holds; None when there is none.

    Raises:
        RunDirectoryError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunDirectoryError(f"Cannot read {path}: {error.strerror}. Choose another directory.") from error


def cannot_write(path: Path, error: OSError) -> RunDirectoryError:
    """The error for a path that cannot be written."""
    return RunDirectoryError(f"Cannot write {path}: {error.strerror}. Make room or choose another directory.")


def check_writable(directory: Path) -> None:
    """Find out, without writing, whether a directory can be written, or made.

    Raises:
        RunDirectoryError: it cannot.
    """
    existing = next(path for path in (directory, *directory.parents) if os.path.lexists(path))
    if not existing.is_dir() or not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        reason = "may not be read and written by this user" if existing.is_dir() else "is not a directory"
        raise RunDirectoryError(f"Cannot write in {directory}: {existing} {reason}. Choose another directory.")
