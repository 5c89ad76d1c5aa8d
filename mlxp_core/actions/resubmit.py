"""Submit runs again: their scripts, in their own directories, as a new launch of their sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlxp_core import console
from mlxp_core.actions.selection import sharing_jobs
from mlxp_core.errors import MlxpError
from mlxp_core.interrupts import raise_on_signals
from mlxp_core.launch.launch import Launch, make_directory
from mlxp_core.launch.plan import Plan, PlannedRun, run_ranges
from mlxp_core.launch.resume import scheduler_of
from mlxp_core.launch.submission_requests import check_array_options
from mlxp_core.locks import locked
from mlxp_core.runs.reader import LOCAL, RunReader, RunRecord
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.class_errors import class_errors_reported
from mlxp_core.status.resolver import StatusResolver
from mlxp_core.status.rules import ResolvedStatus


@dataclass
class Choice:
    """The runs to resubmit, out of those that the user named.

    Attributes:
        runs: Runs that can be resubmitted, each with its present status.
        refused: Runs that cannot, each with the reason.
        notes: Messages for the user about the schedulers' answers.
    """

    runs: list[tuple[RunRecord, ResolvedStatus]] = field(default_factory=list)
    refused: list[tuple[RunRecord, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def with_results(self) -> list[tuple[RunRecord, ResolvedStatus]]:
        """The runs that may have results, which would be overwritten."""
        return [(run, resolved) for run, resolved in self.runs if resolved.status in ("COMPLETE", "UNKNOWN")]


@contextmanager
def lock_runs(runs: Sequence[RunRecord]) -> Iterator[list[RunRecord]]:
    """Lock the sweeps of runs, so that no other process submits them; yield the runs, read again under the lock."""
    sweeps = sorted({run.launch.directory.parent for run in runs if run.launch is not None})
    with ExitStack() as stack:
        for sweep in sweeps:
            stack.enter_context(locked(sweep / "lock", f"Runs of {sweep} are being submitted"))
        paths = [run.directory.path for run in runs]
        yield RunReader(paths[0].parent).read_some(paths)


def choose(runs: Sequence[RunRecord]) -> Choice:
    """Return which runs can be resubmitted: none that is pending or running, or may be."""
    states, choice = StatusResolver(), Choice()
    sharing = sharing_jobs(runs)
    checked = states.resolve([*runs, *sharing])
    busy = {run.job_id for run, resolved in zip([*runs, *sharing], checked, strict=True) if not resolved.is_finished}
    for run, resolved in zip(runs, checked, strict=False):
        silent = run.scheduler in states.unresponsive and bool(run.job_ids)
        shares = run.launch is not None and run.launch.shares_jobs and run.job_id in busy
        reason = f"{run.scheduler_title} did not report whether it has finished" if silent else _why_not(run, resolved)
        if not reason and shares:
            reason = f"other runs of its job {run.job_id} are still active"
        if reason:
            choice.refused.append((run, reason))
        else:
            choice.runs.append((run, resolved))
    choice.notes = states.notes
    return choice


def _why_not(run: RunRecord, resolved: ResolvedStatus) -> str:
    """Return why a run cannot run again in its directory; empty if it can."""
    status = f"{resolved.status} ({resolved.reason})" if resolved.reason else resolved.status
    dry_run = run.is_unsubmitted and run.launch is not None and run.launch.dry_run
    if run.problem or not resolved.is_finished or (run.is_unsubmitted and not dry_run):
        return f"it is {status}"
    script = run.directory.script
    if not script.exists():
        return f"it has no script; 'mlxp rerun {run.name}' starts it again as a new run"
    if not (Path(run.recorded_as).exists() and script.samefile(Path(run.recorded_as) / script.name)):
        return f"its script belongs to {run.recorded_as}, where it was launched"
    if run.scheduler == LOCAL and resolved.status == "UNKNOWN":
        return f"it is {status}"
    if run.scheduler != LOCAL and run.launch is None:
        return (
            f"the plan of its launch (plan.json) no longer exists; you can still submit its script yourself: {script}"
        )
    return ""


def submit_again(runs: Sequence[RunRecord]) -> int:
    """Submit runs of batch schedulers, in as few requests as their options allow.

    Args:
        runs: Runs locked by `lock_runs`.

    Returns:
        The number of submitted runs.

    Raises:
        MlxpError: Not all runs were submitted; the message says how to continue.
    """
    number = 0
    with raise_on_signals():
        for sweep_dir, plan in _plans(runs):
            try:
                number += _launch(sweep_dir, plan, number)
            except MlxpError as error:
                done = f"\n{number} of {console.count(runs, 'run')} had been submitted before that." if number else ""
                raise type(error)(f"{error}{done}") from error
    return number


def _launch(sweep_dir: Path, plan: Plan, submitted_before: int) -> int:
    scheduler = scheduler_of(plan)
    with class_errors_reported(type(scheduler)):
        scheduler.check_installed()
        size = check_array_options(scheduler, scheduler.options, len(plan.runs), first=False)
        plan, directory = replace(plan, array_size=size), make_directory(sweep_dir, 1)
        launch = Launch(directory, plan, scheduler, submitted_before=submitted_before)
        launch.start(f"Submitting {run_ranges(plan.runs)} to {scheduler.title}:")
    return len(plan.runs)


def _plans(runs: Sequence[RunRecord]) -> list[tuple[Path, Plan]]:
    """Return a plan for each group of runs of the same sweep and options; runs with edited directives are separate."""
    of_launches: dict[Path, Plan] = {}
    schedulers: dict[Path, Scheduler] = {}
    shared: list[tuple[Path, Plan, list[PlannedRun]]] = []
    edited: list[tuple[Path, Plan, list[PlannedRun]]] = []
    for recorded in runs:
        assert recorded.launch is not None
        directory = recorded.launch.directory
        if directory not in of_launches:
            of_launches[directory] = Plan.read(directory / "plan.json")
            schedulers[directory] = scheduler_of(of_launches[directory])
        plan = of_launches[directory]
        place = recorded.launch.runs[recorded.recorded_as]["place"]
        run, options = plan.runs[place], plan.options | {"dry_run": False}
        common = replace(plan, runs=(), array_size=1, is_resubmission=True, options=options, after=())
        if _is_edited(run, schedulers[directory]):
            edited.append((directory.parent, common, [run]))
            continue
        for sweep_dir, other, group in shared:
            if sweep_dir == directory.parent and other == common:
                group.append(run)
                break
        else:
            shared.append((directory.parent, common, [run]))
    return [(sweep_dir, replace(common, runs=group)) for sweep_dir, common, group in (*shared, *edited)]


def _is_edited(run: PlannedRun, scheduler: Scheduler) -> bool:
    """Return whether the user changed the directives of a run's script: an array would submit the original ones."""
    ours = scheduler.script(run.job)
    text = run.directory.script.read_text(encoding="utf-8", errors="replace")
    return _head(ours, scheduler) != _head(text, scheduler)


def _head(script: str, scheduler: Scheduler) -> list[str]:
    first, *lines = script.splitlines() or [""]
    return [first, *(line for line in lines if line.startswith(scheduler.directive_prefix))]
