"""Find unused safe copies, and delete copies and runs.

A directory is renamed before it is deleted, so that a partly deleted one never looks complete.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from mlxp_core.errors import GitError, MlxpError, NoRunsError, RunDirectoryError
from mlxp_core.files import cannot_write
from mlxp_core.runs.reader import RunReader, RunRecord
from mlxp_core.status.rules import completed
from mlxp_core.versioning.copy_usage import DESCRIPTION, common_directory, lock_unused_copy, registered_roots
from mlxp_core.versioning.git_command import run_git
from mlxp_core.versioning.safe_copy import own_files

_DELETED = ".deleted-"


@dataclass(frozen=True)
class Copy:
    """A safe copy.

    Attributes:
        path: Its root.
        runs: Runs that use it.
        reason: Why it is kept; empty if it can be deleted.
    """

    path: Path
    runs: Sequence[RunRecord]
    reason: str


class RunRoots:
    """Directories of runs, each read only once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._read: dict[Path, list[RunRecord] | None] = {}

    def using(self, copy: Path) -> list[Path]:
        """Return the directories whose runs may use a copy."""
        common = common_directory(copy)
        registered = registered_roots(common) or [] if common is not None else []
        return list(dict.fromkeys([self.directory, *registered]))

    def runs(self, root: Path) -> list[RunRecord] | None:
        """Return the runs in a directory; None if it cannot be read."""
        if root not in self._read:
            try:
                self._read[root] = RunReader(root).read()
            except NoRunsError:  # also if the directory does not exist
                self._read[root] = []
            except RunDirectoryError:
                self._read[root] = None
        return self._read[root]


def find_copies(directory: Path) -> list[Copy]:
    """Return the safe copies of the runs in a directory, those next to them, and those in ./.workdir."""
    roots = RunRoots(directory)
    recorded = [Path(copy) for run in roots.runs(roots.directory) or () if (copy := _copy_of(run))]
    parents = dict.fromkeys(path.parent for path in recorded)
    for base in (Path.cwd(), roots.directory.parent):
        parents |= dict.fromkeys((base / ".workdir").glob("*"))
    found = []
    for parent in parents:
        remove_remains(parent)
        for path in sorted(parent.glob("[!.]*")):
            if (path / ".git" / DESCRIPTION).is_file():
                found.append(_examined(path, roots))
    return found


def _examined(path: Path, roots: RunRoots, *, locked: bool = False) -> Copy:
    directories = roots.using(path)
    known = [run for directory in directories for run in roots.runs(directory) or ()]
    runs = [run for run in known if _copy_of(run) == str(path)]
    return Copy(path, runs, next(_reasons(path, runs, known, directories, roots, locked), ""))


def _reasons(
    path: Path,
    runs: Sequence[RunRecord],
    known: Sequence[RunRecord],
    directories: Sequence[Path],
    roots: RunRoots,
    locked: bool,
) -> Iterator[str]:
    """Yield the reasons to keep a copy.

    Args:
        path: Root of the copy.
        runs: Runs that use it.
        known: All runs that may use it.
        directories: Directories of these runs.
        roots: Cache of the directories.
        locked: Whether the caller holds the lock of the copy.
    """
    unfinished = [run for run in runs if not completed(run.info)]
    if unfinished:
        more = f" and {len(unfinished) - 1} more" if len(unfinished) > 1 else ""
        yield f"{unfinished[0].path}{more} did not complete"
    # A run without a record and without a launch to resume was never launched
    damaged = [run.problem for run in known if run.problem and (run.launch or "has no record" not in run.problem)]
    if damaged:
        yield f"{damaged[0]}, so that run may need it"
    for directory in directories:
        if roots.runs(directory) is None:
            yield f"the runs in {directory} cannot be read, and may need it"
    common = common_directory(path)
    if common is None or (not runs and registered_roots(common) is None):
        yield "its owner is not recorded"
    with nullcontext(True) if locked else lock_unused_copy(path) as is_free:
        if not is_free:
            yield "a program that was started there is still running"
    if path.stat().st_uid != os.getuid():
        yield "it belongs to another user"
    try:
        if own := own_files(path):
            yield f"it contains files that are in no commit: {', '.join(own[:3])}{', ...' * (len(own) > 3)}"
    except MlxpError as error:
        yield str(error)


def delete_copy(copy: Copy, directory: Path) -> bool:
    """Delete a safe copy, and the reference that keeps its commit in the repository if no run names that commit.

    Returns:
        Whether it was deleted; not if it is used by now, or was deleted before.

    Raises:
        RunDirectoryError: It cannot be deleted completely; the rest has another name.
        GitError: git cannot delete the reference.
    """
    path, roots = copy.path, RunRoots(directory)
    common, directories = common_directory(path), roots.using(path)
    with lock_unused_copy(path) as is_free:
        if not is_free or _examined(path, roots, locked=True).reason:
            return False
        commit = (path / ".git" / "HEAD").read_text().strip()
        delete(path)
    # A directory of runs that is missing may have been moved, and its records still name the commit
    all_known = all(one.is_dir() and roots.runs(one) is not None for one in directories)
    known = [run for one in directories for run in roots.runs(one) or ()]
    named = any((run.info.get("version_manager") or {}).get("commit_hash") == commit for run in known)
    if common is not None and all_known and not named and not path.with_name(commit).exists():
        with suppress(GitError):  # it had no such reference
            run_git(common, "update-ref", "-d", f"refs/mlxp/{commit}")
    return True


def delete(path: Path) -> None:
    """Delete a directory.

    Raises:
        RunDirectoryError: It cannot be deleted completely (the rest has another name), or is a symbolic link.
    """
    if path.is_symlink():
        raise RunDirectoryError(f"{path} is a symbolic link to {path.resolve()} and was kept. Delete both yourself.")
    remains = path.with_name(f"{_DELETED}{path.name}-{secrets.token_hex(4)}")
    try:
        path.rename(remains)
    except OSError as error:
        raise cannot_write(path, error) from error
    try:
        shutil.rmtree(remains)
    except OSError as error:
        raise RunDirectoryError(
            f"{path} was deleted only in part ({error.filename}: {error.strerror}). Delete {remains} yourself."
        ) from error


def remove_remains(parent: Path) -> None:
    """Delete what interrupted deletions left in a directory."""
    for path in parent.glob(f"{_DELETED}*"):
        shutil.rmtree(path, ignore_errors=True)


def disk_usage(path: Path) -> int:
    """Return the disk space that a directory takes, in bytes."""
    total = 0
    for directory, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
    return total


def _copy_of(run: RunRecord) -> str | None:
    copy = (run.info.get("version_manager") or {}).get("safe_copy")
    return str(copy) if copy else None
