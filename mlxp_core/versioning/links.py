"""Symbolic links in a safe copy to untracked paths of the repository, such as data and .env.

A copy with links is for the launches that name these links: its name says so, and no other launch uses it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import OptionError
from mlxp_core.files import cannot_write
from mlxp_core.versioning.git_command import literally, names_in
from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.source_check import RECORDED_FILES
from mlxp_core.versioning.version import option

_OPTION = option("links")


def check_links(repository: Repository, links: Sequence[Path]) -> None:
    """Check that paths can be linked into a safe copy.

    Raises:
        OptionError: A path does not exist, is not in the repository, or is a tracked file.
    """
    for path in links:
        if not path.exists():
            raise OptionError(f"{_OPTION} names {path}, which does not exist: create it or omit it.")
        if repository.root not in path.parents:
            raise OptionError(f"{_OPTION} names {path}, which is not in the repository {repository.root}: omit it.")
        if (path.is_symlink() or not path.is_dir()) and _tracked(repository, path):
            raise OptionError(
                f"{_OPTION} names {path}, which git tracks, so the safe copy has it: name untracked paths."
            )


def linked_paths(repository: Repository, links: Sequence[Path], copies: Path) -> list[Path]:
    """Return the paths to link: a directory with tracked files stands for its untracked contents.

    Args:
        repository: The repository.
        links: Paths that check_links accepts.
        copies: Directory of the safe copies, which is never linked.

    Raises:
        OptionError: A directory has too many untracked entries beside tracked files.
    """
    found: list[Path] = []
    for path in links:
        if path.is_symlink() or not path.is_dir() or not _tracked(repository, path):
            found.append(path)
            continue
        pathspec = literally(_name(repository, path))
        untracked = names_in(repository.git("ls-files", "--others", "--directory", "-z", "--", pathspec))
        inside = [repository.root / name for name in untracked if Path(name).name != "__pycache__"]
        inside = [one for one in inside if not copies.is_relative_to(one)]
        if len(inside) > RECORDED_FILES:
            raise OptionError(
                f"{_OPTION} names {path}, where {len(inside):,} untracked files are beside tracked ones: move them "
                "into a directory without tracked files, and name that."
            )
        if not inside:
            console.say(f"Warning: {_OPTION} names {path}, which has no untracked files yet: nothing is linked.\n")
        found += inside
    return list(dict.fromkeys(found))


def copy_name(commit: str, repository: Repository, links: Sequence[Path]) -> str:
    """Return the name of the safe copy of a commit with links."""
    if not links:
        return commit
    names = "\0".join(sorted(_name(repository, path) for path in links))
    return f"{commit}-with-{sha256(os.fsencode(names)).hexdigest()[:8]}"


def make_links(repository: Repository, links: Sequence[Path], copy: Path) -> None:
    """Link paths of the repository into a new safe copy, at the same relative paths.

    Raises:
        OptionError: The commit has a file there.
        RunDirectoryError: The copy cannot be written.
    """
    for path in links:
        link = copy / path.relative_to(repository.root)
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
        except FileExistsError:
            raise OptionError(f"{_OPTION} names {path}, which is a file of the commit: omit the link.") from None
        except OSError as error:
            raise cannot_write(link, error) from error


def lost_links(repository: Repository, links: Sequence[Path], copy: Path) -> list[str]:
    """Return the links that a safe copy no longer has, or that lead elsewhere, relative to its root."""
    names = [(path, copy / path.relative_to(repository.root)) for path in links]
    return [_name(repository, path) for path, link in names if not (link.is_symlink() and link.readlink() == path)]


def _tracked(repository: Repository, path: Path) -> list[str]:
    return repository.tracked_files(literally(_name(repository, path)))


def _name(repository: Repository, path: Path) -> str:
    return str(path.relative_to(repository.root))
