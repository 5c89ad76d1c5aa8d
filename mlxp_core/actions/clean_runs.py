"""Choose the runs that `mlxp clean --runs` may delete."""

from __future__ import annotations

import socket
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field

from mlxp_core.actions.copy_users import file_key
from mlxp_core.actions.deletion import foreign_content
from mlxp_core.runs.reader import RunReader, RunRecord
from mlxp_core.status.local_processes import running_scripts
from mlxp_core.status.resolver import StatusResolver
from mlxp_core.status.rules import ResolvedStatus


@dataclass
class DeletableRuns:
    """The runs to delete, out of those with a status that the user named.

    Attributes:
        runs: Runs that can be deleted.
        kept: Runs that cannot, each with the reason.
        notes: Messages for the user about the schedulers' answers.
    """

    runs: list[RunRecord] = field(default_factory=list)
    kept: list[tuple[RunRecord, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def choose_deletable(runs: Sequence[RunRecord], wanted: set[str]) -> DeletableRuns:
    """Read runs again, and return which of them can be deleted: none that is pending or running, or may be.

    Args:
        runs: Runs locked by `lock_runs`.
        wanted: Statuses that the user named.
    """
    resolver, choice, seen = StatusResolver(), DeletableRuns(), set()
    paths = [run.directory.path for run in runs if run.directory.path.is_dir()]
    found = RunReader(paths[0].parent).read_some(paths) if paths else []
    scripts = running_scripts()
    for run, resolved in zip(found, resolver.resolve(found), strict=True):
        key = file_key(run.path)
        reason = next(_reasons(run, resolved, wanted, resolver.unresponsive, scripts), "")
        if reason:
            choice.kept.append((run, reason))
        elif key not in seen:  # otherwise it is found by two paths
            choice.runs.append(run)
            seen.add(key)
    choice.notes = resolver.notes
    return choice


def _reasons(
    run: RunRecord, resolved: ResolvedStatus, wanted: set[str], unresponsive: set[str], scripts: Container[str]
) -> Iterator[str]:
    """Yield the reasons to keep a run."""
    path = run.directory.path
    unsubmitted = run.is_unsubmitted and not (run.launch is not None and run.launch.dry_run)
    if not resolved.is_finished or unsubmitted or run.scheduler in unresponsive or resolved.status not in wanted:
        yield f"{resolved.status} ({resolved.reason})" if resolved.reason else resolved.status
    if any(script in scripts for script in run.scripts):  # it has not recorded the start yet
        yield "its script is running"
    host = run.process.get("hostname")
    if resolved.status == "UNKNOWN" and run.job_id is None and host not in (None, socket.gethostname()):
        yield f"its process on {host} may still be running. Run 'mlxp clean' there"
    if path.is_symlink():
        yield f"it is a symbolic link to {path.resolve()}. Delete both yourself"
    if content := foreign_content(path):
        yield content
