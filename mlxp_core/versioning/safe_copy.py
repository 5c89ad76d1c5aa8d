"""The safe copy: the files of one commit, in a place that nobody edits.

It is made under another name and renamed: it is complete or absent.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from itertools import count
from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import GitError, OptionError, SafeCopyError
from mlxp_core.files import cannot_write, check_writable, write_whole
from mlxp_core.versioning.checkout import QUIETLY, check_out, description
from mlxp_core.versioning.copy_usage import DESCRIPTION, hold_copy
from mlxp_core.versioning.git_command import literally, names_in, printable
from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.version import option

_NEW = ".new-"
_DESCRIPTION = f".git/{DESCRIPTION}"
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
    inside = place.is_relative_to(repository.root) and place != repository.root
    holds_code = inside and repository.tracked_files(literally(str(place.relative_to(repository.root))))
    if holds_code or (place / ".git").exists():
        raise OptionError(
            f"Safe copies cannot be made in {place}, which holds the files of a repository: set "
            f"{option('parent_work_dir')} to another directory."
        )
    existing = next(path for path in (place, *place.parents) if path.exists())
    if _is_full(existing):
        raise SafeCopyError(
            f"Safe copies cannot be made in {parent}: the disk is full. Make room, or set "
            f"{option('parent_work_dir')} to another directory."
        )


def _is_full(directory: Path) -> bool:
    return shutil.disk_usage(directory).free < _ROOM_BYTES


def safe_copy(repository: Repository, commit: str, path: Path) -> Path:
    """The safe copy of a commit at `path`, made when it is not there.

    When somebody edited it, another one is used, or made, beside it. It is not deleted while this process goes on.

    Raises:
        SafeCopyError: it cannot be made; nothing is left of it.
        GitError: git cannot make it.
    """
    candidate, numbers = path, count(2)
    while True:
        is_there = candidate.exists()
        if not is_there:
            console.say(f"Creating a copy of the repository at {candidate}\n")
            _make(repository, commit, candidate)
        problem = _problem(candidate, repository, commit) if is_there else None
        if problem is None:
            if not hold_copy(candidate):  # somebody deletes it just now
                continue
            if is_there:
                console.say(f"Using the copy of the repository at {candidate}\n")
            return candidate
        console.say(f"The copy {candidate} cannot be used again ({problem}); it is left alone.")
        candidate = path.with_name(f"{path.name}-{next(numbers)}")


def _problem(copy: Path, repository: Repository, commit: str) -> str | None:
    """Why a copy is not what a new one would be; None when it is."""
    try:
        if (copy / ".git" / "HEAD").read_text().strip() != commit:
            return "another commit is checked out"
        if (copy / _DESCRIPTION).read_text() != description(repository, commit):
            return "it was made of other submodules, or of another sparse checkout"
        edited = [printable(name) for name in _edited(Repository(copy), commit)]
        return f"edited: {', '.join(edited[:3])}{', ...' * (len(edited) > 3)}" if edited else None
    except (OSError, GitError) as error:
        return str(error)


def _edited(copy: Repository, commit: str) -> Iterator[str]:
    """The tracked files of a copy that are not as the commit has them."""
    # git may note in the copy's index what it looked up: files as young as the index are read whole every time
    options = ("--no-renames", "--untracked-files=no", "--ignore-submodules=untracked", "-z")
    env = {"GIT_OPTIONAL_LOCKS": "1"}
    for entry in names_in(copy.git("status", "--porcelain=v2", *options, env=env, settings=QUIETLY)):
        kind, states, *rest = entry.split(" ", 8)
        submodule, _, mode, mode_there, *_, name = rest
        only_content = kind == "1" and states == ".M" and submodule == "N..." and mode == mode_there != "120000"
        # Some files are never what git would commit, by their line endings or filters, and are right all the same
        if only_content and copy.git("cat-file", "--filters", f"{commit}:{name}") == (copy.root / name).read_bytes():
            continue
        yield name


def own_files(copy: Path) -> list[str]:
    """What a copy has and its commit has not, or not so: results of runs, edits; without byte code and links.

    Raises:
        GitError: git cannot say that.
    """
    tree = Repository(copy)
    try:
        commit = (copy / ".git" / "HEAD").read_text().strip()
    except OSError as error:
        raise GitError(f"{copy} is no whole repository: {error.strerror}.") from error
    others = ("--others", "--directory", "--no-empty-directory", "-z")
    # What git was told to ignore, too: results often are
    found = [name for name in names_in(tree.git("ls-files", *others)) if not (copy / name).is_symlink()]
    found = [name for name in found if not _is_byte_code(copy / name)]
    return [printable(name) for name in (*_edited(tree, commit), *found)]


def _is_byte_code(path: Path) -> bool:
    """Whether there is nothing in a file or directory but what Python compiled."""
    if path.is_dir():
        files = (file for file in path.rglob("*") if not file.is_dir())
        return all("__pycache__" in file.parts or file.is_symlink() for file in files)
    return path.suffix == ".pyc"


def _make(repository: Repository, commit: str, path: Path) -> None:
    parent = path.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if not (parent / ".gitignore").exists():
            write_whole(parent / ".gitignore", "*\n")
        _remove_remains(parent)
        temporary = parent / f"{_NEW}{os.getpid()}-{secrets.token_hex(4)}@{socket.gethostname()}"
        try:
            check_out(repository, commit, temporary)
            (temporary / _DESCRIPTION).write_text(description(repository, commit))
            if (problem := _problem(temporary, repository, commit)) is not None:
                raise GitError(f"git did not write all files ({problem}); does a partial clone lack their contents?")
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
    for path in parent.glob(f"{_NEW}*"):
        process, _, host = path.name.removeprefix(_NEW).partition("@")
        pid = process.partition("-")[0]
        if host != socket.gethostname() or not pid.isdecimal():
            continue
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except PermissionError:  # another user's process
            pass
