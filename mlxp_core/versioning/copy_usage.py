"""Record which directories have runs of a repository, and which safe copies are in use: `mlxp clean` reads both."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mlxp_core.files import cannot_write

# File in the git directory of the repository: one line for each directory with runs that record its commits. A line
# that begins with "-" withdraws an earlier one
_ROOTS = "mlxp-runs"
# File in the git directory of a safe copy, and of no other repository, that describes what the copy was made from.
# Programs that run in the copy lock it
DESCRIPTION = "mlxp-description"


def register_runs(version: Mapping[str, Any] | None, root: Path) -> None:
    """Record in the repository that a directory has runs of its commits; do nothing if it cannot be written."""
    if version is None:
        return
    common = common_directory(Path(version["safe_copy"] or version["repo_path"]))
    if common is not None and root not in (registered_roots(common) or ()):
        with suppress(OSError):
            _append(common, _line(root))


def unregister_runs(common: Path, root: Path) -> None:
    """Record that the runs in a directory were deleted.

    Args:
        common: Git directory of the repository.
        root: Directory of the runs.

    Raises:
        RunDirectoryError: The repository cannot be written.
    """
    try:
        _append(common, b"-" + _line(root))
    except OSError as error:
        raise cannot_write(common / _ROOTS, error) from error


def registered_roots(common: Path) -> list[Path] | None:
    """Return the directories with runs of a repository, by its git directory; None if none was ever registered."""
    try:
        lines = (common / _ROOTS).read_bytes().split(b"\n")
    except OSError:
        return None
    roots: dict[Path, None] = {}
    for line in filter(None, lines):
        with suppress(ValueError):  # a damaged line
            if line.startswith(b"-"):
                roots.pop(_root(line[1:]), None)
            else:
                roots[_root(line)] = None
    return list(roots)


def _append(common: Path, line: bytes) -> None:
    with (common / _ROOTS).open("ab", buffering=0) as file:
        file.write(line + b"\n")  # a single write, so that lines of two processes do not mix


def _line(root: Path) -> bytes:
    """Return a path as one line: a JSON string if it contains a line break."""
    return json.dumps(str(root)).encode() if "\n" in str(root) else os.fsencode(root)


def _root(line: bytes) -> Path:
    return Path(json.loads(line)) if line.startswith(b'"') else Path(os.fsdecode(line))


def common_directory(tree: Path) -> Path | None:
    """Find the git directory of a work tree, without git; for a safe copy or linked worktree, that of the original."""
    own = tree / ".git"
    try:
        if own.is_file():  # a linked worktree
            own = tree / own.read_text().removeprefix("gitdir:").strip()
            return (own / (own / "commondir").read_text().strip()).resolve()
        borrowed = own / "objects" / "info" / "alternates"
        if (own / DESCRIPTION).exists():
            return Path(os.fsdecode(borrowed.read_bytes().splitlines()[0])).parent
    except (OSError, IndexError):
        return None
    return own if own.is_dir() else None


def hold_copy(copy: Path) -> bool:
    """Prevent the deletion of a safe copy until this process, or a program that replaces it by exec, ends.

    Returns:
        Whether the copy still exists.
    """
    path = copy / ".git" / DESCRIPTION
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:  # it belongs to another user, and only they can delete it
        return True
    with suppress(OSError):  # a file system without locks
        fcntl.flock(file, fcntl.LOCK_SH)
    if file <= 2:  # stdout, for example, was closed: a program must not write into this file instead
        low, file = file, fcntl.fcntl(file, fcntl.F_DUPFD, 3)
        os.close(low)
    os.set_inheritable(file, True)
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except OSError:  # deleted while this process waited for the lock
        os.close(file)
        return False


@contextmanager
def lock_unused_copy(copy: Path) -> Iterator[str]:
    """Keep programs from starting in a safe copy until the end of the block; yield why that is not possible, or ""."""
    try:
        file = os.open(copy / ".git" / DESCRIPTION, os.O_RDWR)
    except OSError as error:
        yield f"it cannot be locked ({error.strerror})"
        return
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            reason = ""
        except BlockingIOError:
            reason = "a program that was started there is still running"
        except OSError:  # a file system without locks
            reason = ""
        yield reason
    finally:
        os.close(file)
