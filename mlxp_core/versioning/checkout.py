"""Checking a commit out into a new repository that borrows the objects of another; nothing is fetched.

The borrowing is by objects/info/alternates (see gitrepository-layout), so that a copy costs its files alone.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import GitError, SafeCopyError
from mlxp_core.versioning.git_command import names_in, printable
from mlxp_core.versioning.repository import Repository

# No hook runs, no monitor starts, and files are looked at
QUIETLY = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.ignoreStat=false", "core.checkStat=default")
# Settings that decide what files look like; all others stay behind, the remotes first.
_SETTINGS = {
    *("core.autocrlf", "core.eol", "core.symlinks", "core.filemode", "core.attributesfile", "core.ignorecase"),
    *("core.precomposeunicode", "core.sparsecheckout", "core.sparsecheckoutcone"),
}
# Files of Git LFS come out as the pointers that they are in the commit; they are filled in later.
_NO_LFS = ("filter.lfs.smudge=", "filter.lfs.process=", "filter.lfs.required=false")
_SPARSE = "info/sparse-checkout"
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
        (repository.git_path(_SPARSE), _SPARSE),
    ):
        if source.exists():
            shutil.copyfile(source, git_directory / name)
    for key, value in _settings(repository):
        copy.git("config", "--add", key, value)
    copy.git("checkout", "--quiet", "--detach", commit, settings=(*QUIETLY, *_NO_LFS, "checkout.workers=0"))
    _fill_in_lfs_files(repository, copy)
    there = submodules(repository, commit)
    for name in sorted({name for name, _ in repository.gitlinks(commit)} - {name for name, _ in there}):
        console.say(
            f"Careful: the submodule {printable(name)} is empty in the copy, as it is in {repository.root} "
            "(git submodule update --init gets it).\n"
        )
    for name, recorded in there:
        submodule = Repository(repository.root / name)
        if not submodule.holds(recorded):
            raise SafeCopyError(
                f"The submodule {printable(name)} is recorded at commit {recorded}, which is not on this machine: run "
                f"'git submodule update --init' in {repository.root}."
            )
        check_out(submodule, recorded, directory / name)


def description(repository: Repository, commit: str) -> str:
    """What a checkout of a commit depends on besides the commit, as text: sparse patterns, and the submodules there."""
    lines = []
    if dict(_settings(repository)).get("core.sparsecheckout") == "true":
        patterns = repository.git_path(_SPARSE)
        lines.append(patterns.read_text(errors="replace") if patterns.exists() else "")
    for name, recorded in submodules(repository, commit):
        inner = description(Repository(repository.root / name), recorded)
        lines += [f"submodule {printable(name)}", *(f"  {line}" for line in inner.splitlines())]
    return "\n".join(lines)


def submodules(repository: Repository, commit: str) -> list[tuple[str, str]]:
    """The submodules of a commit that the user's work tree has, and the commits that are recorded for them."""
    links = repository.gitlinks(commit)
    return [(name, recorded) for name, recorded in links if (repository.root / name / ".git").exists()]


def _alternate(path: bytes) -> bytes:
    """A line of objects/info/alternates: the path, in quotes as C writes them where that is needed.

    Git LFS, which reads objects itself, does not know of the quotes (seen in git-lfs 3.3).
    """
    if path.startswith((b'"', b"#")) or b"\n" in path:
        path = b'"' + path.replace(b"\\", rb"\\").replace(b'"', rb"\"").replace(b"\n", rb"\n") + b'"'
    return path + b"\n"


def _settings(repository: Repository) -> Iterator[tuple[str, str]]:
    """Those settings as they hold in the repository, whichever file they come from (a later one wins)."""
    for entry in names_in(repository.git("config", "--includes", "--list", "-z")):
        key, _, value = entry.partition("\n")
        if key in _SETTINGS or (key.startswith(("filter.", "lfs.")) and key not in ("lfs.url", "lfs.storage")):
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
