"""Submitting runs again: the script that they have, in their own directory, as a new launch of their sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import MlxpError
from mlxp_core.interrupts import all_signals_interrupt
from mlxp_core.launch import Launch, make_directory
from mlxp_core.locks import locked
from mlxp_core.plan import Plan, Run, labels
from mlxp_core.requests import check_array_options
from mlxp_core.resume import scheduler_of
from mlxp_core.run_states import RunStates
from mlxp_core.runs import LOCAL, RecordedRun, RunReader
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.mistakes import mistakes_named
from mlxp_core.selection import sharing_jobs
from mlxp_core.verdict import Verdict


@dataclass
class Choice:
    """What can be done with runs that somebody wants to run again.

    Attributes:
        runs: those that can be, and what is true of each.
        refused: those that cannot, each with the reason.
        notes: what the user should know of the schedulers' answers.
    """

    runs: list[tuple[RecordedRun, Verdict]] = field(default_factory=list)
    refused: list[tuple[RecordedRun, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def doubtful(self) -> list[tuple[RecordedRun, Verdict]]:
        """Those that may have a result: it would be written over."""
        return [(run, verdict) for run, verdict in self.runs if verdict.status in ("COMPLETE", "UNKNOWN")]


@contextmanager
def held(runs: Sequence[RecordedRun]) -> Iterator[list[RecordedRun]]:
    """Keep other processes from submitting runs of these sweeps; yields the runs as they are then."""
    sweeps = sorted({run.launch.directory.parent for run in runs if run.launch is not None})
    with ExitStack() as stack:
        for sweep in sweeps:
            stack.enter_context(locked(sweep / "lock", f"Runs of {sweep} are being submitted"))
        paths = [run.directory.path for run in runs]
        yield RunReader(paths[0].parent).read_some(paths)


def choose(runs: Sequence[RecordedRun]) -> Choice:
    """Find out which runs can run again now: none that waits, runs, or may do so."""
    states, choice = RunStates(), Choice()
    beside = sharing_jobs(runs)
    judged = states.verdicts([*runs, *beside])
    busy = {run.job_id for run, verdict in zip([*runs, *beside], judged, strict=True) if not verdict.is_over}
    for run, verdict in zip(runs, judged, strict=False):
        silent = run.scheduler in states.silent and run.first_job_id is not None
        shares = run.launch is not None and run.launch.shares_jobs and run.job_id in busy
        reason = f"{run.scheduler_title} does not tell whether it is over" if silent else _why_not(run, verdict)
        if not reason and shares:
            reason = f"its job {run.job_id} goes on with other runs"
        if reason:
            choice.refused.append((run, reason))
        else:
            choice.runs.append((run, verdict))
    choice.notes = states.notes
    return choice


def _why_not(run: RecordedRun, verdict: Verdict) -> str:
    """Why a run cannot run again in its directory; empty when it can."""
    status = f"{verdict.status} ({verdict.reason})" if verdict.reason else verdict.status
    dry_run = run.is_unsubmitted and run.launch is not None and run.launch.dry_run
    if run.problem or not verdict.is_over or (run.is_unsubmitted and not dry_run):
        return f"it is {status}"
    script = run.directory.script
    if not script.exists():
        return f"it has no script; 'mlxp rerun {run.name}' starts it again as a new run"
    if not (Path(run.recorded_as).exists() and script.samefile(Path(run.recorded_as) / script.name)):
        return f"its script runs in {run.recorded_as}, where it was launched"
    if run.scheduler == LOCAL and verdict.status == "UNKNOWN":
        return f"it is {status}"
    if run.scheduler != LOCAL and run.launch is None:
        return f"there is no plan of its launch any more; its script stands alone: {script}"
    return ""


def submit_again(runs: Sequence[RecordedRun]) -> int:
    """Submit runs of batch schedulers, whose sweeps are `held`, in as few requests as their options allow.

    Returns:
        how many were submitted.

    Raises:
        MlxpError: not all were; the message says how to go on.
    """
    number = 0
    with all_signals_interrupt():
        for sweep_dir, plan in _plans(runs):
            try:
                number += _launch(sweep_dir, plan)
            except MlxpError as error:
                done = f"\n{number} of {console.count(runs, 'run')} were submitted before." if number else ""
                raise type(error)(f"{error}{done}") from error
    return number


def _launch(sweep_dir: Path, plan: Plan) -> int:
    scheduler = scheduler_of(plan)
    with mistakes_named(type(scheduler)):
        scheduler.check_installed()
        size = check_array_options(scheduler, scheduler.options, len(plan.runs), first=False)
        launch = Launch(make_directory(sweep_dir, 1), replace(plan, array_size=size), scheduler)
        launch.start(f"Submitting {labels(plan.runs)} to {scheduler.title}:")
    return len(plan.runs)


def _plans(runs: Sequence[RecordedRun]) -> list[tuple[Path, Plan]]:
    """A plan for the runs of each sweep that were launched alike; one whose script asks for something else is alone."""
    of_launches: dict[Path, Plan] = {}
    schedulers: dict[Path, Scheduler] = {}
    shared: list[tuple[Path, Plan, list[Run]]] = []
    alone: list[tuple[Path, Plan, list[Run]]] = []
    for recorded in runs:
        assert recorded.launch is not None
        directory = recorded.launch.directory
        if directory not in of_launches:
            of_launches[directory] = Plan.read(directory / "plan.json")
            schedulers[directory] = scheduler_of(of_launches[directory])
        plan = of_launches[directory]
        place = recorded.launch.runs[recorded.recorded_as]["place"]
        run, options = plan.runs[place], plan.options | {"dry_run": False}
        common = replace(plan, runs=(), array_size=1, again=True, options=options)
        if _is_edited(run, schedulers[directory]):
            alone.append((directory.parent, common, [run]))
            continue
        for sweep_dir, other, group in shared:
            if sweep_dir == directory.parent and other == common:
                group.append(run)
                break
        else:
            shared.append((directory.parent, common, [run]))
    return [(sweep_dir, replace(common, runs=group)) for sweep_dir, common, group in (*shared, *alone)]


def _is_edited(run: Run, scheduler: Scheduler) -> bool:
    """Whether a run's script asks the scheduler for something else than its launch did: an array would not ask so."""
    ours = scheduler.script(run.job)
    text = run.directory.script.read_text(encoding="utf-8", errors="replace")
    return _head(ours, scheduler) != _head(text, scheduler)


def _head(script: str, scheduler: Scheduler) -> list[str]:
    first, *lines = script.splitlines() or [""]
    return [first, *(line for line in lines if line.startswith(scheduler.directive_prefix))]
