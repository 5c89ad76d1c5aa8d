"""What can be deleted of safe copies and runs, and deleting it: what is half deleted never looks like a whole one."""

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
        path: its root.
        runs: those that ran from it.
        reason: why it is kept; empty when it can be deleted.
    """

    path: Path
    runs: Sequence[RunRecord]
    reason: str


class Roots:
    """The directories of runs, each read once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._read: dict[Path, list[RunRecord] | None] = {}

    def of(self, copy: Path) -> list[Path]:
        """Those whose runs may need a copy."""
        common = common_directory(copy)
        noted = registered_roots(common) or [] if common is not None else []
        return list(dict.fromkeys([self.directory, *noted]))

    def runs(self, root: Path) -> list[RunRecord] | None:
        """The runs in one; None when it cannot be read."""
        if root not in self._read:
            try:
                self._read[root] = RunReader(root).read()
            except NoRunsError:  # or no directory
                self._read[root] = []
            except RunDirectoryError:
                self._read[root] = None
        return self._read[root]


def find_copies(directory: Path) -> list[Copy]:
    """The safe copies of the runs in a directory, and those beside them and in ./.workdir, needed or not."""
    roots = Roots(directory)
    named = [Path(copy) for run in roots.runs(roots.directory) or () if (copy := _copy_of(run))]
    places = dict.fromkeys(path.parent for path in named)
    for base in (Path.cwd(), roots.directory.parent):
        places |= dict.fromkeys((base / ".workdir").glob("*"))
    found = []
    for place in places:
        remove_remains(place)
        for path in sorted(place.glob("[!.]*")):
            if (path / ".git" / DESCRIPTION).is_file():
                found.append(_judged(path, roots))
    return found


def _judged(path: Path, roots: Roots, *, locked: bool = False) -> Copy:
    places = roots.of(path)
    known = [run for place in places for run in roots.runs(place) or ()]
    runs = [run for run in known if _copy_of(run) == str(path)]
    return Copy(path, runs, next(_reasons(path, runs, known, places, roots, locked), ""))


def _reasons(
    path: Path,
    runs: Sequence[RunRecord],
    known: Sequence[RunRecord],
    places: Sequence[Path],
    roots: Roots,
    locked: bool,
) -> Iterator[str]:
    """Why a copy is needed."""
    unfinished = [run for run in runs if not completed(run.info)]
    if unfinished:
        more = f" and {len(unfinished) - 1} more" if len(unfinished) > 1 else ""
        yield f"{unfinished[0].path}{more} did not complete"
    # One without a record, and without a launch that can be resumed, never was launched
    damaged = [run.problem for run in known if run.problem and (run.launch or "has no record" not in run.problem)]
    if damaged:
        yield f"{damaged[0]}, so that nobody can say whether it needs it"
    for place in places:
        if roots.runs(place) is None:
            yield f"the runs in {place} cannot be read"
    common = common_directory(path)
    if common is None or (not runs and registered_roots(common) is None):
        yield "nobody noted whose it is"
    with nullcontext(True) if locked else lock_unused_copy(path) as is_free:
        if not is_free:
            yield "a program that goes on was started there"
    if path.stat().st_uid != os.getuid():
        yield "it is another user's"
    try:
        if own := own_files(path):
            yield f"it holds what no commit has: {', '.join(own[:3])}{', ...' * (len(own) > 3)}"
    except MlxpError as error:
        yield str(error)


def delete_copy(copy: Copy, directory: Path) -> bool:
    """Delete a safe copy, and what keeps its commit in the repository if no run names that any more.

    Returns:
        whether it was there, and nobody used it meanwhile.

    Raises:
        RunDirectoryError: it cannot be deleted whole; what is left has another name.
        GitError: git does not forget the commit.
    """
    path, roots = copy.path, Roots(directory)
    common, places = common_directory(path), roots.of(path)
    with lock_unused_copy(path) as is_free:
        if not is_free or _judged(path, roots, locked=True).reason:
            return False
        commit = (path / ".git" / "HEAD").read_text().strip()
        delete(path)
    # Where a directory of runs is gone, it may have been moved, and its records still name the commit
    all_known = all(place.is_dir() and roots.runs(place) is not None for place in places)
    of_runs = [run for place in places for run in roots.runs(place) or ()]
    named = any((run.info.get("version_manager") or {}).get("commit_hash") == commit for run in of_runs)
    if common is not None and all_known and not named and not path.with_name(commit).exists():
        with suppress(GitError):  # it never was kept
            run_git(common, "update-ref", "-d", f"refs/mlxp/{commit}")
    return True


def delete(path: Path) -> None:
    """Delete a directory.

    Raises:
        RunDirectoryError: it cannot be, or not whole; what is left has another name.
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
            f"{path} is deleted, but {error.filename} is left of it: {error.strerror}. Remove {remains} yourself."
        ) from error


def remove_remains(place: Path) -> None:
    """Go on with what was deleted half."""
    for path in place.glob(f"{_DELETED}*"):
        shutil.rmtree(path, ignore_errors=True)


def size(path: Path) -> int:
    """The room that a directory takes on its disk, in bytes."""
    total = 0
    for directory, _, files in os.walk(path):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(directory, name)).st_blocks * 512
    return total


def _copy_of(run: RunRecord) -> str | None:
    copy = (run.info.get("version_manager") or {}).get("safe_copy")
    return str(copy) if copy else None
