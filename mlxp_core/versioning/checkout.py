"""Check out a commit into a new repository that borrows the objects of another; nothing is fetched.

The new repository finds the objects by objects/info/alternates (see gitrepository-layout), so a copy takes only the
space of its files.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import GitError, SafeCopyError
from mlxp_core.versioning.git_command import listed, names_in, printable
from mlxp_core.versioning.permissions import protect
from mlxp_core.versioning.repository import Repository

# Run no hook, start no file system monitor, and compare the files themselves
QUIETLY = ("core.hooksPath=/dev/null", "core.fsmonitor=false", "core.ignoreStat=false", "core.checkStat=default")
# Settings that determine the content of files; a copy has no others, and no remotes
_SETTINGS = {
    *("core.autocrlf", "core.eol", "core.symlinks", "core.filemode", "core.attributesfile", "core.ignorecase"),
    *("core.precomposeunicode", "core.sparsecheckout", "core.sparsecheckoutcone"),
}
# Check out Git LFS files as the pointers in the commit; their content is filled in later
_NO_LFS = ("filter.lfs.smudge=", "filter.lfs.process=", "filter.lfs.required=false")
_SPARSE = "info/sparse-checkout"
_LFS_FILES = ":(top,attr:filter=lfs)"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"


def check_out(repository: Repository, commit: str, directory: Path) -> None:
    """Create a repository in a new directory that borrows the objects of another, and check out a commit."""
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
            f"Warning: the submodule {printable(name)} is empty in the copy, as it is in {repository.root} (git "
            "submodule update --init fills it).\n"
        )
    for name, recorded in there:
        submodule = Repository(repository.root / name)
        if not submodule.has(recorded):
            raise SafeCopyError(
                f"The submodule {printable(name)} is recorded at commit {recorded}, which is not on this machine: run "
                f"'git submodule update --init' in {repository.root}."
            )
        check_out(submodule, recorded, directory / name)
    protect(repository, copy)


def description(repository: Repository, commit: str) -> str:
    """Describe what a checkout depends on besides its commit: sparse patterns, and the submodules that are present."""
    lines = []
    if dict(_settings(repository)).get("core.sparsecheckout") == "true":
        patterns = repository.git_path(_SPARSE)
        lines.append(patterns.read_text(errors="replace") if patterns.exists() else "")
    for name, recorded in submodules(repository, commit):
        inner = description(Repository(repository.root / name), recorded)
        lines += [f"submodule {printable(name)}", *(f"  {line}" for line in inner.splitlines())]
    return "\n".join(lines)


def submodules(repository: Repository, commit: str) -> list[tuple[str, str]]:
    """Return the submodules of a commit that are present in the work tree, with the commit recorded for each."""
    links = repository.gitlinks(commit)
    return [(name, recorded) for name, recorded in links if (repository.root / name / ".git").exists()]


def _alternate(path: bytes) -> bytes:
    """Return a line of objects/info/alternates: the path, in C-style quotes if it needs them.

    Git LFS, which reads objects itself, does not understand the quotes (seen in git-lfs 3.3).
    """
    if path.startswith((b'"', b"#")) or b"\n" in path:
        path = b'"' + path.replace(b"\\", rb"\\").replace(b'"', rb"\"").replace(b"\n", rb"\n") + b'"'
    return path + b"\n"


def _settings(repository: Repository) -> Iterator[tuple[str, str]]:
    """Return those settings of a repository, from all configuration files; later ones take precedence."""
    for entry in names_in(repository.git("config", "--includes", "--list", "-z")):
        key, _, value = entry.partition("\n")
        if key in _SETTINGS or (key.startswith(("filter.", "lfs.")) and key not in ("lfs.url", "lfs.storage")):
            yield key, value


def _fill_in_lfs_files(repository: Repository, copy: Repository) -> None:
    """Replace the pointers of Git LFS files by their contents, without a download.

    Raises:
        SafeCopyError: Contents are not on this machine.
    """
    files = copy.tracked_files(_LFS_FILES)
    if not files:
        return
    storage = repository.common_directory / "lfs"
    with suppress(GitError):
        storage = repository.common_directory / repository.git("config", "lfs.storage").decode().removesuffix("\n")
    copy.git("config", "lfs.storage", str(storage))
    reason = "because their contents are not on this machine (git lfs pull gets them)"
    try:
        copy.git("lfs", "install", "--local", "--skip-repo")
        copy.git("lfs", "checkout")
    except GitError as error:
        if "is not a git command" in str(error):
            reason = "because git-lfs is not installed"
    pointers = [name for name in files if _is_pointer(copy.root / name)]
    if pointers:
        raise SafeCopyError(
            f"Git LFS files of {repository.root} cannot be put into the safe copy, {reason}: {listed(pointers)}"
        )


def _is_pointer(file: Path) -> bool:
    if file.is_symlink() or not file.is_file():
        return False
    with file.open("rb") as content:
        return content.read(len(_LFS_POINTER)) == _LFS_POINTER
