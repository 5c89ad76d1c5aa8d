"""Find unused safe copies, and delete them."""

from __future__ import annotations

import os
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path

from mlxp_core.actions.copy_users import RunRoots, Users, copy_of, file_key, version_of
from mlxp_core.actions.deletion import delete, remove_remains
from mlxp_core.errors import GitError, MlxpError
from mlxp_core.runs.reader import RunRecord
from mlxp_core.status.local_processes import running_scripts
from mlxp_core.status.resolver import StatusResolver
from mlxp_core.status.rules import ResolvedStatus, completed
from mlxp_core.versioning.copy_usage import (
    DESCRIPTION,
    common_directory,
    lock_unused_copy,
    registered_roots,
    unregister_runs,
)
from mlxp_core.versioning.git_command import run_git
from mlxp_core.versioning.safe_copy import own_files


@dataclass(frozen=True)
class Copy:
    """A safe copy.

    Attributes:
        path: Its root.
        users: Runs that may use it.
        reason: Why it is kept; empty if it can be deleted.
        missing: Directories of runs that no longer exist, if they are the only reason to keep it.
    """

    path: Path
    users: Users
    reason: str
    missing: Sequence[Path] = ()


@dataclass(frozen=True)
class FoundCopies:
    """The safe copies that `mlxp clean` considers.

    Attributes:
        copies: The copies.
        notes: Messages for the user about the schedulers' answers.
    """

    copies: Sequence[Copy] = field(default_factory=list)
    notes: Sequence[str] = ()

    @property
    def missing(self) -> list[Path]:
        """Directories of runs that no longer exist, and are the only reason to keep a copy."""
        return list(dict.fromkeys(root for copy in self.copies for root in copy.missing))


def find_copies(directory: Path) -> FoundCopies:
    """Return the safe copies of the runs in a directory, those next to them, and those in ./.workdir."""
    roots = RunRoots(directory)
    recorded = dict.fromkeys(copy_of(run) for run in roots.runs(roots.directory) or ())
    parents = [Path(copy).parent for copy in recorded if copy is not None]
    real = Path(os.path.realpath(roots.directory))
    for base in dict.fromkeys((Path.cwd(), roots.directory.parent, real.parent)):
        parents += (base / ".workdir").glob("*")
    found: dict[object, Path] = {}
    for parent in dict.fromkeys(Path(os.path.realpath(parent)) for parent in parents):
        remove_remains(parent)
        for path in sorted(parent.glob("[!.]*")):
            key = file_key(path)
            if (path / ".git" / DESCRIPTION).is_file() and (key not in found or found[key].is_symlink()):
                found[key] = path
    copies, notes = _examine(list(found.values()), roots)
    return FoundCopies(copies, notes)


def _examine(paths: Sequence[Path], roots: RunRoots, *, locked: bool = False) -> tuple[list[Copy], list[str]]:
    """Return copies with the reasons to keep them, and messages about the schedulers' answers.

    Args:
        paths: Roots of the copies.
        roots: Cache of the directories of runs.
        locked: Whether the caller holds the locks of the copies.
    """
    users = [roots.users(path) for path in paths]
    runs = {run.path: run for one in users for run in one.runs}
    resolver = StatusResolver()
    statuses = dict(zip(runs, resolver.resolve(list(runs.values())), strict=True))
    scripts = running_scripts()
    copies = []
    for path, one in zip(paths, users, strict=True):
        reason = next(_reasons(path, one, statuses, resolver.unresponsive, scripts, locked), "")
        missing = [] if reason else one.missing
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            reason = (
                f"the runs in {missing[0]}{more} may need it, but that directory no longer exists. If you moved it, "
                "name it ('mlxp clean DIR'). If you deleted it, answer the question of 'mlxp clean' (without -y)"
            )
        copies.append(Copy(path, one, reason, missing))
    return copies, resolver.notes


def _reasons(
    path: Path,
    users: Users,
    statuses: Mapping[str, ResolvedStatus],
    unresponsive: set[str],
    scripts: Container[str],
    locked: bool,
) -> Iterator[str]:
    """Yield the reasons to keep a copy, other than missing directories of runs."""
    if not os.path.lexists(path):
        yield "another process is deleting it"
        return
    if path.is_symlink():
        yield f"it is a symbolic link to {path.resolve()}"
    if path.stat().st_uid != os.getuid():
        yield "it belongs to another user"
    if unfinished := list(_unfinished(users.runs, statuses, unresponsive, scripts)):
        more = f", and {len(unfinished) - 1} more may need it" if len(unfinished) > 1 else ""
        yield f"{unfinished[0]}{more}"
    # A run without a record and without a launch to resume was never launched
    damaged = [run for run in users.known if run.problem and (run.launch or "has no record" not in run.problem)]
    if damaged:
        yield f"{damaged[0].problem}, so that run may need it"
    for directory in users.unreadable:
        yield f"the runs in {directory} cannot be read, and may need it"
    common = common_directory(path)
    if common is None or (not users.runs and registered_roots(common) is None):
        yield "its owner is not recorded"
    with nullcontext("") if locked else lock_unused_copy(path) as in_use:
        if in_use:
            yield in_use
    try:
        if own := own_files(path):
            yield f"it contains files that are in no commit: {', '.join(own[:3])}{', ...' * (len(own) > 3)}"
    except MlxpError as error:
        yield str(error).removesuffix(".")


def _unfinished(
    runs: Sequence[RunRecord],
    statuses: Mapping[str, ResolvedStatus],
    unresponsive: set[str],
    scripts: Container[str],
) -> Iterator[str]:
    """Yield a reason for each run that may still need its copy: first the runs that are pending or running."""
    for run in sorted(runs, key=lambda run: statuses[run.path].is_finished):
        resolved = statuses[run.path]
        if not resolved.is_finished:
            yield f"{run.path} is {resolved.status}"
        elif not completed(run.info) or resolved.status != "COMPLETE":
            yield f"{run.path} did not complete"
        elif any(script in scripts for script in run.scripts):  # it has not recorded the start yet
            yield f"the script of {run.path} is running"
        elif run.scheduler in unresponsive:
            yield f"{run.scheduler_title} did not report whether {run.path} was submitted again"


def forget_missing(copies: Sequence[Copy]) -> None:
    """Record in the repositories that the runs in missing directories were deleted.

    Raises:
        RunDirectoryError: A repository cannot be written.
    """
    pairs = {(common_directory(copy.path), root) for copy in copies for root in copy.missing}
    for common, root in pairs:
        if common is not None:
            unregister_runs(common, root)


def delete_copy(copy: Copy, directory: Path) -> str:
    """Delete a safe copy, and the reference that keeps its commit in the repository if no run names that commit.

    Returns:
        Why it is kept, because it is used by now or was deleted before; empty if it was deleted.

    Raises:
        RunDirectoryError: It cannot be deleted completely; the rest has another name.
        GitError: git cannot delete the reference.
    """
    path = copy.path
    if not path.exists():
        return "it was already deleted"
    common = common_directory(path)
    with lock_unused_copy(path) as in_use:
        if in_use:
            return in_use
        ((now,), _) = _examine([path], RunRoots(directory), locked=True)
        if now.reason:
            return now.reason
        commit = (path / ".git" / "HEAD").read_text().strip()
        delete(path)
    # A directory of runs that is missing may have been moved, and its records still name the commit
    all_known = not now.users.missing and not now.users.unreadable
    named = any(version_of(run).get("commit_hash") == commit for run in now.users.known)
    if common is not None and all_known and not named and not any(path.parent.glob(f"{commit}*")):
        with suppress(GitError):  # it had no such reference
            run_git(common, "update-ref", "-d", f"refs/mlxp/{commit}")
    return ""
