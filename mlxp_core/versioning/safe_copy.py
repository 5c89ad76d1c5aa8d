"""The safe copy: the files of one commit, in a directory where no one edits them.

It is created under another name and renamed, so it is complete or absent.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import GitError, OptionError, SafeCopyError
from mlxp_core.files import cannot_write, check_writable, write_whole
from mlxp_core.versioning.checkout import QUIETLY, check_out, description
from mlxp_core.versioning.copy_usage import DESCRIPTION, hold_copy
from mlxp_core.versioning.git_command import literally, names_in, printable
from mlxp_core.versioning.links import copy_name, lost_links, make_links
from mlxp_core.versioning.permissions import check_own
from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.snapshot import take_snapshot
from mlxp_core.versioning.source_check import SNAPSHOT, Snapshot, added_files
from mlxp_core.versioning.untracked_files import has_own_objects, submodules_in, untracked_files
from mlxp_core.versioning.version import option

# Prefix of a copy that is being created
_NEW = ".new-"
_DESCRIPTION = f".git/{DESCRIPTION}"
_SNAPSHOT = f".git/{SNAPSHOT}"
# A disk with less free space counts as full; what a copy needs is not known before it is created
_MIN_FREE_BYTES = 1_000_000


def copy_path(parent: Path, repository: Repository, commit: str, links: Sequence[Path] = ()) -> Path:
    """Return the path of the safe copy of a commit with links."""
    return parent / repository.root.name / copy_name(commit, repository, links)


def check_place(repository: Repository, parent: Path) -> None:
    """Check, without writing, that copies can be created in a directory.

    Raises:
        SafeCopyError: The disk is full, or other users can replace what is in the directory.
        RunDirectoryError: The directory cannot be written.
        OptionError: The directory contains files of a repository.
    """
    check_writable(parent)
    place = parent / repository.root.name
    inside = place.is_relative_to(repository.root) and place != repository.root
    holds_code = inside and repository.tracked_files(literally(str(place.relative_to(repository.root))))
    if holds_code or (place / ".git").exists():
        raise OptionError(
            f"Safe copies cannot be created in {place}, which contains the files of a repository: set "
            f"{option('parent_work_dir')} to another directory."
        )
    check_own(place)
    existing = next(path for path in (place, *place.parents) if path.exists())
    if _is_full(existing):
        raise SafeCopyError(
            f"Safe copies cannot be created in {parent}: the disk is full. Free some space, or set "
            f"{option('parent_work_dir')} to another directory."
        )


def _is_full(directory: Path) -> bool:
    return shutil.disk_usage(directory).free < _MIN_FREE_BYTES


def safe_copy(repository: Repository, commit: str, path: Path, links: Sequence[Path] = ()) -> Path:
    """Find or create the safe copy of a commit, and prevent its deletion until this process ends.

    If files of the copy at `path` were changed, or modules added, another one is used or created next to it
    (`<path>-2`, ...).

    Args:
        repository: Repository of the commit.
        commit: Full hash.
        path: Preferred path of the copy, from copy_path.
        links: Untracked paths of the repository to link into the copy.

    Raises:
        SafeCopyError: The copy cannot be created; nothing is left of it.
        OptionError: The commit has a file in the place of a link.
        GitError: git failed.
    """
    check_own(path.parent)
    candidate, numbers = path, count(2)
    while True:
        exists = candidate.exists()
        if not exists:
            console.say(f"Creating a copy of the repository at {candidate}\n")
            _make(repository, commit, candidate, links)
        problem = _problem(candidate, repository, commit, links) if exists else None
        if problem is None:
            if not hold_copy(candidate):  # another process has deleted it
                continue
            if exists:
                console.say(f"Using the copy of the repository at {candidate}\n")
            return candidate
        console.say(f"The copy {candidate} cannot be reused ({problem}); it is kept.")
        candidate = path.with_name(f"{path.name}-{next(numbers)}")


def _problem(copy: Path, repository: Repository, commit: str, links: Sequence[Path]) -> str | None:
    """Return how a copy differs from a new one; None if it does not."""
    try:
        if (copy / ".git" / "HEAD").read_text().strip() != commit:
            return "another commit is checked out"
        if (copy / _DESCRIPTION).read_text() != description(repository, commit):
            return "it was made with other submodules, or another sparse checkout"
        added = added_files(copy, Snapshot.read(copy / _SNAPSHOT))
        for what, names in (
            ("edited", list(_edited(Repository(copy), commit))),
            ("files were added that are not in the commit", added),
            ("links were removed", lost_links(repository, links, copy)),
        ):
            if names:
                return f"{what}: {', '.join(map(printable, names[:3]))}{', ...' * (len(names) > 3)}"
    except (OSError, ValueError, GitError) as error:
        return str(error)
    return None


def _edited(copy: Repository, commit: str) -> Iterator[str]:
    """Return the tracked files of a copy that differ from the commit."""
    # git may update the index of the copy: otherwise it reads files that are as young as the index in full every time
    options = ("--no-renames", "--untracked-files=no", "--ignore-submodules=untracked", "-z")
    env = {"GIT_OPTIONAL_LOCKS": "1"}
    for entry in names_in(copy.git("status", "--porcelain=v2", *options, env=env, settings=QUIETLY)):
        kind, states, *rest = entry.split(" ", 8)
        submodule, _, mode, mode_there, *_, name = rest
        only_content = kind == "1" and states == ".M" and submodule == "N..." and mode == mode_there != "120000"
        # Line endings and filters can make an unedited file differ from what git would commit
        if only_content and copy.git("cat-file", "--filters", f"{commit}:{name}") == (copy.root / name).read_bytes():
            continue
        yield name


def own_files(copy: Path) -> list[str]:
    """Return the files of a copy that differ from its commit, or are not in it, submodules included.

    These are edits, results of runs and commits that were made in the copy. Compiled Python files and the links that
    launches made are not among them.

    Raises:
        GitError: git cannot compare them.
        RunDirectoryError: A directory cannot be read.
    """
    return [printable(name) for name in _own_files(copy, copy)]


def _own_files(copy: Path, tree: Path) -> Iterator[str]:
    """Yield the own files of a copy or of a submodule in it, relative to the copy."""
    try:
        commit = (tree / ".git" / "HEAD").read_text().strip()
    except OSError as error:
        raise GitError(f"{tree} is not a complete repository: {error.strerror}.") from error
    found = [*_edited(Repository(tree), commit), *untracked_files(copy, tree)]
    if has_own_objects(tree):
        found.append(".git/objects (new commits or staged files)")
    inside = tree.relative_to(copy)
    yield from (str(inside / name) for name in found)
    for name in submodules_in(tree):
        if (tree / name / ".git").exists():
            yield from _own_files(copy, tree / name)


def _make(repository: Repository, commit: str, path: Path, links: Sequence[Path]) -> None:
    parent = path.parent
    try:
        parent.parent.mkdir(parents=True, exist_ok=True)
        parent.mkdir(mode=0o700, exist_ok=True)
        check_own(parent)
        if not (parent / ".gitignore").exists():
            write_whole(parent / ".gitignore", "*\n")
        _remove_remains(parent)
        temporary = parent / f"{_NEW}{os.getpid()}-{secrets.token_hex(4)}@{socket.gethostname()}"
        try:
            temporary.mkdir(mode=0o700)
            check_out(repository, commit, temporary)
            make_links(repository, links, temporary)
            (temporary / _DESCRIPTION).write_text(description(repository, commit))
            (temporary / _SNAPSHOT).write_text(take_snapshot(Repository(temporary), commit).text())
            if (problem := _problem(temporary, repository, commit, links)) is not None:
                raise GitError(f"git did not write all files ({problem}); a partial clone may lack their contents")
            try:
                temporary.rename(path)
            except OSError:
                if not path.exists():  # otherwise another launch was faster
                    raise
        except GitError as error:
            reason = "the disk is full" if _is_full(parent) else error
            raise SafeCopyError(f"Cannot create the safe copy {path}, nothing is left of it: {reason}") from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
    except OSError as error:
        raise SafeCopyError(str(cannot_write(path, error))) from error


def _remove_remains(parent: Path) -> None:
    """Remove incomplete copies of processes that were killed on this machine."""
    for path in parent.glob(f"{_NEW}*"):
        process, _, host = path.name.removeprefix(_NEW).partition("@")
        pid = process.partition("-")[0]
        if host != socket.gethostname() or not pid.isdecimal():
            continue
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            shutil.rmtree(path, ignore_errors=True)
        except PermissionError:  # it belongs to another user
            pass
