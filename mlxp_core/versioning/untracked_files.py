"""Find the files of a safe copy that git does not track, including those in its submodules."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from mlxp_core.errors import RunDirectoryError
from mlxp_core.versioning.copy_usage import common_directory
from mlxp_core.versioning.git_command import names_in
from mlxp_core.versioning.repository import Repository

# Compiled Python files; with a number while Python writes them
_BYTE_CODE = re.compile(r".+\.pyc(\.\d+)?", re.DOTALL)


def submodules_in(tree: Path) -> list[str]:
    """Return the submodules in the index of a work tree, checked out or not, relative to it."""
    entries = (entry.partition("\t") for entry in names_in(Repository(tree).git("ls-files", "--stage", "-z")))
    return [name for details, _, name in entries if details.startswith("160000 ")]


def untracked_files(copy: Path, tree: Path) -> Iterator[str]:
    """Yield the untracked files of a work tree, relative to it, including ignored files and symbolic links.

    Compiled Python files and the links that a launch made (option `links`) are left out. So are submodules that are
    checked out.

    Args:
        copy: Root of the safe copy.
        tree: The copy, or a submodule in it.

    Raises:
        GitError: git failed.
        RunDirectoryError: A directory cannot be read.
    """
    tracked = {*names_in(Repository(tree).git("ls-files", "-z"))}
    opaque = {".git", *(name for name in submodules_in(tree) if (tree / name / ".git").exists())}
    for directory, folders, files in os.walk(tree, onerror=_unreadable):
        inside = os.path.relpath(directory, tree)
        names = {name: os.path.normpath(os.path.join(inside, name)) for name in (*folders, *files)}
        links = [name for name in folders if Path(directory, name).is_symlink()]
        folders[:] = sorted(name for name in folders if name not in links and names[name] not in opaque)
        for name in sorted((*links, *files)):
            path = Path(directory, name)
            if names[name] not in tracked | opaque and not _BYTE_CODE.fullmatch(name) and not _is_our_link(path, copy):
                yield names[name]


def has_own_objects(tree: Path) -> bool:
    """Return whether the git directory of a safe copy has objects that are not borrowed: commits or staged files."""
    objects = tree / ".git" / "objects"
    return any(objects.glob("[0-9a-f][0-9a-f]/*")) or any(objects.glob("pack/*.pack"))


def _is_our_link(path: Path, copy: Path) -> bool:
    """Return whether a path is a link to the same relative path in a work tree of the repository of the copy."""
    if not path.is_symlink():
        return False
    target, below = str(path.readlink()), f"/{path.relative_to(copy)}"
    if not (target.startswith("/") and target.endswith(below)):
        return False
    ours, theirs = common_directory(copy), common_directory(Path(target.removesuffix(below) or "/"))
    return None not in (ours, theirs) and os.path.realpath(str(ours)) == os.path.realpath(str(theirs))


def _unreadable(error: OSError) -> NoReturn:
    raise RunDirectoryError(f"Cannot read {error.filename}: {error.strerror}.") from error
