"""Checking a commit out into a new repository that borrows the objects of another; nothing is fetched.

The borrowing is by objects/info/alternates (see gitrepository-layout), so that a copy costs its files alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mlxp_core.errors import GitError, SafeCopyError
from mlxp_core.versioning.repository import Repository, names_in, printable

# No hook runs, no monitor starts
QUIETLY = ("core.hooksPath=/dev/null", "core.fsmonitor=false")
# Settings of the user's repository that decide what its files look like; all others stay behind, its remotes first.
_SECTIONS = ("core.", "filter.", "lfs.")
_LEFT_BEHIND = (
    "core.bare",
    "core.worktree",
    "core.fsmonitor",
    "core.hookspath",
    "core.untrackedcache",
    "lfs.url",
    "lfs.storage",
)
# Files of Git LFS come out as the pointers that they are in the commit; they are filled in later.
_NO_LFS = ("filter.lfs.smudge=", "filter.lfs.process=", "filter.lfs.required=false")
_LFS_FILES = ":(top,attr:filter=lfs)"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def check_out(repository: Repository, commit: str, directory: Path) -> None:
    """Make a repository in a new directory that borrows the objects of another, and check a commit out."""
    object_format = repository.git("rev-parse", "--show-object-format").decode().strip()
    repository.git("init", "--quiet", "--template=", f"--object-format={object_format}", "--", str(directory))
    copy = Repository(directory)
    common, git_directory = repository.common_directory, directory / ".git"
    (git_directory / "objects" / "info").mkdir(exist_ok=True)
    (git_directory / "objects" / "info" / "alternates").write_bytes(_alternate(os.fsencode(common / "objects")))
    (git_directory / "info").mkdir(exist_ok=True)
    for source, name in (
        (common / "shallow", "shallow"),
        (common / "info" / "attributes", "info/attributes"),
        (repository.git_path("info/sparse-checkout"), "info/sparse-checkout"),
    ):
        if source.exists():
            shutil.copyfile(source, git_directory / name)
    for key, value in _settings(repository):
        copy.git("config", "--add", key, value)
    copy.git("checkout", "--quiet", "--detach", commit, settings=(*QUIETLY, *_NO_LFS, "checkout.workers=0"))
    _fill_in_lfs_files(repository, copy)
    if (directory / ".gitmodules").exists():
        _check_out_submodules(repository, copy)


def _alternate(path: bytes) -> bytes:
    """A line of objects/info/alternates: the path, in quotes as C writes them where that is needed.

    Git LFS, which reads objects itself, does not know of the quotes (seen in git-lfs 3.3).
    """
    if path.startswith((b'"', b"#")) or b"\n" in path:
        path = b'"' + path.replace(b"\\", rb"\\").replace(b'"', rb"\"").replace(b"\n", rb"\n") + b'"'
    return path + b"\n"


def _settings(repository: Repository) -> Iterator[tuple[str, str]]:
    """The settings of the repository itself that decide what its files look like."""
    for scope in ("local", "worktree"):
        with suppress(GitError):  # --worktree is an error where there are several work trees and no such settings
            for entry in names_in(repository.git("config", f"--{scope}", "--includes", "--list", "-z")):
                key, _, value = entry.partition("\n")
                if key.startswith(_SECTIONS) and key not in _LEFT_BEHIND:
                    yield key, value


def _fill_in_lfs_files(repository: Repository, copy: Repository) -> None:
    """Put the real contents of Git LFS files in the place of their pointers, from this machine alone.

    Raises:
        SafeCopyError: some contents are not here.
    """
    files = copy.tracked_files(_LFS_FILES)
    if not files:
        return
    storage = repository.common_directory / "lfs"
    with suppress(GitError):
        storage = repository.common_directory / repository.git("config", "lfs.storage").decode().removesuffix("\n")
    copy.git("config", "lfs.storage", str(storage))
    reason = "their contents are not on this machine: get them with 'git lfs pull'"
    try:
        copy.git("lfs", "install", "--local", "--skip-repo")
        copy.git("lfs", "checkout")
    except GitError as error:
        if "is not a git command" in str(error):
            reason = "git-lfs is not on this machine: install it"
    pointers = [name for name in files if _is_pointer(copy.root / name)]
    if pointers:
        raise SafeCopyError(
            f"Git LFS files of {repository.root} cannot be put into the safe copy, {reason}: "
            + ", ".join(map(printable, pointers[:20]))
            + (f" and {len(pointers) - 20} more" if len(pointers) > 20 else "")
        )


def _is_pointer(file: Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as content:
        return content.read(len(_LFS_POINTER)) == _LFS_POINTER


def _check_out_submodules(repository: Repository, copy: Repository) -> None:
    """Check out the submodules that the user's work tree has, at their recorded commits.

    Raises:
        SafeCopyError: a recorded commit is not on this machine.
    """
    for entry in names_in(copy.git("ls-files", "--stage", "-z")):
        details, _, name = entry.partition("\t")
        mode, commit, _ = details.split(" ")
        if mode != "160000" or not (repository.root / name / ".git").exists():
            continue
        submodule = Repository(repository.root / name)
        if not submodule.holds(commit):
            raise SafeCopyError(
                f"The submodule {printable(name)} is recorded at commit {commit}, which is not on this machine: run "
                f"'git submodule update --init' in {repository.root}."
            )
        check_out(submodule, commit, copy.root / name)
