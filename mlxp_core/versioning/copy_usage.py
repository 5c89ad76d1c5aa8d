"""Where a repository's runs are, noted in git's own directory, for whoever asks whether a commit is still needed."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

# In git's directory of the user's repository: directories in which runs are that record its commits, a line each
_ROOTS = "mlxp-runs"
# In the git directory of a safe copy, and of nothing else: what it was made of. Programs that start there lock it
DESCRIPTION = "mlxp-description"


def register_runs(version: Mapping[str, Any] | None, root: Path) -> None:
    """Note that a directory holds runs whose records name a commit; a repository that cannot be written is left."""
    if version is None:
        return
    common = common_directory(Path(version["safe_copy"] or version["repo_path"]))
    if common is not None and root not in (registered_roots(common) or ()):
        with suppress(OSError), (common / _ROOTS).open("ab", buffering=0) as file:
            # In one piece, so that two processes do not mix their lines
            file.write(os.fsencode(root) + b"\n")


def registered_roots(common: Path) -> list[Path] | None:
    """The directories that were noted; None when none ever was."""
    try:
        return [Path(os.fsdecode(line)) for line in (common / _ROOTS).read_bytes().splitlines()]
    except OSError:
        return None


def common_directory(tree: Path) -> Path | None:
    """Git's directory of a repository, found without git; of a safe copy and a linked worktree, the original's."""
    own = tree / ".git"
    try:
        if own.is_file():  # a linked worktree
            own = Path(own.read_text().removeprefix("gitdir:").strip())
            return (own / (own / "commondir").read_text().strip()).resolve()
        borrowed = own / "objects" / "info" / "alternates"
        if (own / DESCRIPTION).exists():
            return Path(os.fsdecode(borrowed.read_bytes().splitlines()[0])).parent
    except (OSError, IndexError):
        return None
    return own if own.is_dir() else None


def hold_copy(copy: Path) -> bool:
    """Keep a safe copy from being deleted as long as this process goes on, also as another program.

    Returns:
        whether it is there still.
    """
    path = copy / ".git" / DESCRIPTION
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # another user's, who alone can delete it
        return True
    with suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_SH)
    if file <= 2:  # stdout, say, is closed: a program must not take this file for it
        low, file = file, fcntl.fcntl(file, fcntl.F_DUPFD, 3)
        os.close(low)
    os.set_inheritable(file, True)
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:  # deleted while the lock was waited for
        os.close(file)
        return False


@contextmanager
def lock_unused_copy(copy: Path) -> Iterator[bool]:
    """Whether no process uses a safe copy; none can begin to before the end of the block."""
    try:
        file = os.open(copy / ".git" / DESCRIPTION, os.O_RDWR)
    except OSError:
        yield False
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free = True
        except BlockingIOError:
            free = False
        except OSError:  # a file system without locks
            free = True
        yield free
    finally:
        os.close(file)
