"""Delete directories.

A directory is renamed before it is deleted, so that a partly deleted one never looks complete.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path

from mlxp_core.errors import RunDirectoryError
from mlxp_core.files import cannot_write
from mlxp_core.runs.discovery import SUBDIRS
from mlxp_core.versioning.copy_usage import DESCRIPTION

_DELETED = ".deleted-"
_RECORDS = tuple(filter(None, SUBDIRS))
_REMAINS = re.compile(rf"{re.escape(_DELETED)}.+-[0-9a-f]{{8}}", re.DOTALL)


def delete(path: Path) -> None:
    """Delete a directory.

    Raises:
        RunDirectoryError: It cannot be deleted completely (the rest has another name), or is a symbolic link.
    """
    if path.is_symlink():
        raise RunDirectoryError(f"{path} is a symbolic link to {path.resolve()} and was kept. Delete both yourself.")
    remains = path.with_name(f"{_DELETED}{path.name}-{secrets.token_hex(4)}")
    try:
        path.rename(remains)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        for directory, folders, _ in os.walk(remains):
            for folder in [Path(directory), *(Path(directory, name) for name in folders)]:
                if not folder.is_symlink() and folder.stat().st_mode & stat.S_IRWXU != stat.S_IRWXU:
                    folder.chmod(stat.S_IRWXU)
        shutil.rmtree(remains)
    except OSError as error:
        if not remains.exists():  # another process, which found these remains, was faster
            return
        raise RunDirectoryError(
            f"{path} was deleted only in part ({error.filename}: {error.strerror}). Delete {remains} yourself."
        ) from error


def remove_remains(parent: Path) -> None:
    """Delete what interrupted deletions left in a directory."""
    for path in parent.glob(f"{_DELETED}*"):
        if _REMAINS.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def disk_usage(path: Path) -> int:
    """Return the disk space that a directory takes, in bytes."""
    total = 0
    for directory, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
    return total


def foreign_content(path: Path) -> str:
    """Return what a directory contains that must not be deleted with its run; empty if nothing."""
    unreadable: list[OSError] = []
    for directory, folders, _ in os.walk(path, onerror=unreadable.append):
        if not os.lstat(directory).st_mode & stat.S_IWUSR:
            return f"{directory} is write-protected"
        if Path(directory, ".git", DESCRIPTION).exists():
            return f"it contains the safe copy {directory}"
        for other in (Path(directory, name) for name in folders):
            if not other.is_symlink() and any((other / name / "info.yaml").exists() for name in _RECORDS):
                return f"it contains the run {other}"
    return f"{unreadable[0].filename} cannot be read ({unreadable[0].strerror})" if unreadable else ""
