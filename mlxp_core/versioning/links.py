"""Symbolic links in a safe copy to untracked paths of the repository, such as data and .env."""

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
    """Check that paths can be linked into a safe copy.

    Raises:
        OptionError: A path does not exist, is not in the repository, or contains tracked files.
    """
    for path in links:
        if not path.exists():
            raise OptionError(f"{_OPTION} names {path}, which does not exist: create it or omit it.")
        if repository.root not in path.parents:
            raise OptionError(f"{_OPTION} names {path}, which is not in the repository {repository.root}: omit it.")
        if repository.tracked_files(literally(str(path.relative_to(repository.root)))):
            raise OptionError(
                f"{_OPTION} names {path}, but git tracks files there, which the safe copy has: name untracked paths."
            )


def make_links(repository: Repository, links: Sequence[Path], copy: Path) -> None:
    """Link paths of the repository into its safe copy, at the same relative paths.

    Raises:
        OptionError: The copy has another file there.
        RunDirectoryError: The copy cannot be written.
    """
    for path in links:
        link = copy / path.relative_to(repository.root)
        try:
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
        except FileExistsError:
            if not (link.is_symlink() and link.readlink() == path):
                raise OptionError(
                    f"{_OPTION} names {path}, but {link} exists already: remove it, or omit the link."
                ) from None
        except OSError as error:
            raise cannot_write(link, error) from error
