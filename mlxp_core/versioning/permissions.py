"""Who can read and change safe copies: their directories are the user's own, and tracked files are read-only."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path

from mlxp_core.errors import SafeCopyError
from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.version import option


def check_own(place: Path) -> None:
    """Check that no other user can replace the safe copies in a directory, which need not exist yet.

    Raises:
        SafeCopyError: The directory, or the one that contains it, belongs to another user or can be written by others.
    """
    for directory, writers in ((place, stat.S_IWGRP | stat.S_IWOTH), (place.parent, stat.S_IWOTH)):
        try:
            status = directory.stat()
        except OSError:  # it is created later, or cannot be used, which is reported then
            continue
        # In a sticky directory, such as /tmp, others cannot rename what is ours
        sticky = directory != place and status.st_mode & stat.S_ISVTX
        owners = {os.getuid(), 0} if directory != place else {os.getuid()}
        if status.st_uid not in owners:
            problem = "belongs to another user"
        elif status.st_mode & writers and not sticky:
            problem = f"can be written by other users (chmod {'o-w' if directory != place else 'go-w'} changes that)"
        else:
            continue
        raise SafeCopyError(
            f"Safe copies cannot be created in {place}: {directory} {problem}, so others could replace the code. "
            f"Set {option('parent_work_dir')} to a directory of your own."
        )


def protect(repository: Repository, copy: Repository) -> None:
    """Make the tracked files of a new safe copy read-only, and keep from others what the repository keeps from them."""
    for name in copy.tracked_files(":/"):
        path = copy.root / name
        try:
            mode = stat.S_IMODE(_regular(path))
        except FileNotFoundError:  # a submodule, a symbolic link, or outside a sparse checkout
            continue
        new = mode & ~0o222
        with suppress(FileNotFoundError):  # a file of the commit only
            # git records no other permissions than the executable bit: an untracked .env of mode 600 would become 644
            new &= _regular(repository.root / name) | stat.S_IRWXU
        if new != mode:
            path.chmod(new)


def _regular(path: Path) -> int:
    """Return the mode of a regular file.

    Raises:
        FileNotFoundError: There is none.
    """
    try:
        mode = path.lstat().st_mode
    except NotADirectoryError as error:
        raise FileNotFoundError(path) from error
    if not stat.S_ISREG(mode):
        raise FileNotFoundError(path)
    return mode
