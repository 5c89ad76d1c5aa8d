"""Untracked paths, such as data and .env, that a safe copy shows by symbolic links."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlxp_core.errors import OptionError
from mlxp_core.files import cannot_write
from mlxp_core.versioning.git_command import literally
from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.version import option

_OPTION = option("links")


def check_links(repository: Repository, links: Sequence[Path]) -> None:
    """Make sure that links can be made.

    Raises:
        OptionError: a path does not exist, is not in the repository, or holds tracked files.
    """
    for path in links:
        if not path.exists():
            raise OptionError(f"{_OPTION} names {path}, which does not exist: create it or leave it out.")
        if repository.root not in path.parents:
            raise OptionError(
                f"{_OPTION} names {path}, which is not in the repository {repository.root}: leave it out."
            )
        if repository.tracked_files(literally(str(path.relative_to(repository.root)))):
            raise OptionError(
                f"{_OPTION} names {path}, but git tracks files there, which the safe copy has: name untracked paths."
            )


def make_links(repository: Repository, links: Sequence[Path], copy: Path) -> None:
    """Link paths of the repository into its copy, at the same places.

    Raises:
        OptionError: another thing is there already.
    """
    for path in links:
        link = copy / path.relative_to(repository.root)
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
        except FileExistsError:
            if not (link.is_symlink() and link.readlink() == path):
                raise OptionError(
                    f"{_OPTION} names {path}, but {link} is there already: remove it, or leave the link out."
                ) from None
        except OSError as error:
            raise cannot_write(link, error) from error
