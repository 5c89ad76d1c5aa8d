"""The safe copy: the files of one commit, in a place that nobody edits.

It is a repository of its own that borrows the objects of the user's (objects/info/alternates, see
gitrepository-layout), so that it costs its files alone. It is made under another name and renamed: it is complete or
absent.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import GitError, OptionError, SafeCopyError
from mlxp_core.run_directory import cannot_write, check_writable, write_whole
from mlxp_core.versioning.repository import Repository, literally, names_in, printable

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
# No hook runs, no monitor starts
_QUIETLY = ("core.hooksPath=/dev/null", "core.fsmonitor=false")
# Files of Git LFS come out as the pointers that they are in the commit; they are filled in later.
_NO_LFS = ("filter.lfs.smudge=", "filter.lfs.process=", "filter.lfs.required=false")
_LFS_FILES = ":(top,attr:filter=lfs)"
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_NEW = ".new-"
# Less is a full disk; how much a copy needs is known when it is made
_ROOM_BYTES = 1_000_000


def copy_path(parent: Path, repository: Repository, commit: str) -> Path:
    """Where the safe copy of a commit is."""
    return parent / repository.root.name / commit


def check_place(repository: Repository, parent: Path) -> None:
    """Find out, without writing, whether copies can be made in a directory.

    Raises:
        SafeCopyError: its disk is full.
        RunDirectoryError: it cannot be written.
        OptionError: the repository's own files are there.
    """
    check_writable(parent)
    place = parent / repository.root.name
    if place.is_relative_to(repository.root) and repository.tracked_files(
        literally(str(place.relative_to(repository.root)))
    ):
        raise OptionError(
            f"Safe copies cannot be made in {place}, which holds tracked files of the repository: set "
            "hydra.callbacks.mlxp_versioning.parent_work_dir to another directory."
        )
    existing = next(path for path in (place, *place.parents) if path.exists())
    if _is_full(existing):
        raise SafeCopyError(
            f"Safe copies cannot be made in {parent}: the disk is full. Make room, or set "
            "hydra.callbacks.mlxp_versioning.parent_work_dir to another directory."
        )


def _is_full(directory: Path) -> bool:
    return shutil.disk_usage(directory).free < _ROOM_BYTES


def safe_copy(repository: Repository, commit: str, path: Path) -> Path:
    """The safe copy of a commit at `path`, made when it is not there.

    When somebody edited it, another one is used, or made, beside it.

    Raises:
        SafeCopyError: it cannot be made; nothing is left of it.
        GitError: git cannot make it.
    """
    for candidate in _names(path):
        if not candidate.exists():
            console.say(f"Creating a copy of the repository at {candidate}\n")
            _make(repository, commit, candidate)
            return candidate
        problem = _problem(candidate, commit)
        if problem is None:
            console.say(f"Using the copy of the repository at {candidate}\n")
            return candidate
        console.say(f"The copy {candidate} is no longer the code of that commit ({problem}); it is left alone.")
    raise AssertionError("there is always another name")


def _names(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.name}-{number}")
        number += 1


def _problem(copy: Path, commit: str) -> str | None:
    """Why the tracked files of a copy are not those of the commit; None when they are."""
    repository = Repository(copy)
    try:
        if (copy / ".git" / "HEAD").read_text().strip() != commit:
            return "another commit is checked out"
        # git may note in the copy's index what it looked up: files as young as the index are read whole every time
        answer = repository.git(
            *("status", "--porcelain", "--no-renames", "--untracked-files=no", "--ignore-submodules=untracked", "-z"),
            env={"GIT_OPTIONAL_LOCKS": "1"},
            settings=_QUIETLY,
        )
        changed = [printable(entry[3:]) for entry in names_in(answer)]
        return f"edited: {', '.join(changed[:3])}{', ...' * (len(changed) > 3)}" if changed else None
    except (OSError, GitError) as error:
        return str(error)


def _make(repository: Repository, commit: str, path: Path) -> None:
    parent = path.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        write_whole(parent / ".gitignore", "*\n")
        _remove_remains(parent)
        temporary = parent / f"{_NEW}{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        try:
            _check_out(repository, commit, temporary)
            if (problem := _problem(temporary, commit)) is not None:
                raise GitError(f"git left it incomplete ({problem})")
            try:
                temporary.rename(path)
            except OSError:
                if not path.exists():  # else another launch was faster
                    raise
        except GitError as error:
            reason = "the disk is full" if _is_full(parent) else error
            raise SafeCopyError(f"The safe copy {path} cannot be made, nothing is left of it: {reason}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise SafeCopyError(str(cannot_write(path, error))) from error


def _remove_remains(parent: Path) -> None:
    """Remove what processes of this machine that were killed left half-made."""
    for path in parent.glob(f"{_NEW}{socket.gethostname()}-*"):
        pid = int(path.name.removeprefix(f"{_NEW}{socket.gethostname()}-").partition("-")[0])
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except PermissionError:  # another user's process
            pass


def _check_out(repository: Repository, commit: str, directory: Path) -> None:
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
    copy.git("checkout", "--quiet", "--detach", commit, settings=(*_QUIETLY, *_NO_LFS, "checkout.workers=0"))
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
        _check_out(submodule, commit, copy.root / name)
