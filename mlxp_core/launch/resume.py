"""mlxp resume: submit or start the runs of unfinished launches that were not submitted or started."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlxp_core import console
from mlxp_core.config.options import read_options
from mlxp_core.errors import OptionError, RunDirectoryError
from mlxp_core.files import write_whole
from mlxp_core.interrupts import raise_on_signals
from mlxp_core.launch.launch import Launch, lock_launch, make_directory
from mlxp_core.launch.local import local_launch
from mlxp_core.launch.plan import PLAN, Plan, PlannedRun, run_ranges
from mlxp_core.launch.submitted import submitted_jobs
from mlxp_core.locks import is_held
from mlxp_core.paths import path_ranges, short_path
from mlxp_core.runs.directory import has_files
from mlxp_core.runs.discovery import find_runs, has_record
from mlxp_core.runs.journal import SUBMISSIONS, import_paths, read_entries
from mlxp_core.runs.plan_file import written_at
from mlxp_core.runs.reader import LOCAL, RunReader
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.class_errors import class_errors_reported
from mlxp_core.schedulers.loading import load_scheduler
from mlxp_core.status.resolver import StatusResolver


def resume(directory: Path) -> int:
    """Submit or start the runs of the launches below a directory that were not submitted or started.

    Args:
        directory: Directory of numbered runs, of one sweep, or of several sweeps.

    Returns:
        The number of runs that this call submitted or started.

    Raises:
        RunDirectoryError: There is no launch.
        LaunchRecordError: The plan of a launch cannot be read.
        SchedulerUnavailableError: The scheduler does not answer whether it has the runs.
        SubmissionError, LaunchInterruptedError: Not all runs were submitted; the message says what to do.
    """
    found = _find(directory)
    with raise_on_signals():
        totals = [total for file, plan in found.plans if (total := _resume(file, plan, found)) is not None]
    never_launched = _never_launched(found, directory)
    if not totals:
        raise RunDirectoryError(
            f"There is no launch in {directory}: give the directory of numbered runs (./logs) or of a sweep."
            + "".join(f"\n{line}" for line in never_launched)
        )
    if not sum(totals) and not found.skipped:
        number = "1 launch" if len(totals) == 1 else f"{len(totals)} launches"
        console.say(f"Nothing to resume: all runs of {number} are submitted or started.")
    for line in never_launched:
        console.say(line)
    return sum(totals)


@dataclass
class _Found:
    """What is below a directory.

    Attributes:
        plans: The plans of the launches, except dry runs, in the order in which they were written, with their files.
        unrecorded: Directories of runs without a record and without a plan.
        skipped: Whether some unfinished runs were skipped; a message has named them.
    """

    plans: list[tuple[Path, Plan]] = field(default_factory=list)
    unrecorded: list[str] = field(default_factory=list)
    skipped: bool = False


def _find(directory: Path) -> _Found:
    if not directory.is_dir() or has_record(str(directory)):
        return _Found()
    found = find_runs(directory)
    files = [file for sweep in found.sweeps for file in sweep.glob(f"launch-*/{PLAN}")]
    plans = [(file, Plan.read(file)) for file in files]
    plans.sort(key=lambda one: written_at(one[0], one[1].at))
    planned = {str(run.directory.path) for _, plan in plans for run in plan.runs}
    unrecorded = [run for run in found.runs if run not in planned and not has_record(run)]
    return _Found([(file, plan) for file, plan in plans if not plan.options.get("dry_run")], unrecorded)


def _never_launched(found: _Found, directory: Path) -> list[str]:
    """Return lines about the directories of runs whose launch was killed before it wrote its plan."""
    empty = [short_path(Path(run)) for run in found.unrecorded if not has_files(run)]
    if not empty:
        return []
    return [
        f"Never launched: {path_ranges(empty)}. Launch these runs again. To remove the empty directories: mlxp clean "
        f"--runs --status NEVER_LAUNCHED {short_path(directory)}"
    ]


def scheduler_of(plan: Plan) -> Scheduler:
    """Return the scheduler of a launch. A user's class is imported from where the application finds its own modules.

    Raises:
        OptionError: The class is not found there, or refuses the options, or another user wrote the plan.
    """
    if plan.foreign:
        raise OptionError(
            f"{plan.foreign}, so its scheduler class {plan.scheduler} was not loaded, and none of its runs was "
            "submitted. Only the owner can do this."
        )
    sys.path[:0] = import_paths(plan.main_file, str(plan.app.cwd), plan.app.environment)
    kind = load_scheduler(plan.scheduler)
    package = plan.scheduler.partition(".")[0]
    if package != "mlxp_core":
        # Another launch may have another module of that name: the code of another commit
        for name in [name for name in sys.modules if name.partition(".")[0] == package]:
            del sys.modules[name]
    with class_errors_reported(kind):
        return kind(read_options(kind.options_class, plan.options))


def _resume(file: Path, plan: Plan, found: _Found) -> int | None:
    """Submit or start what is missing of one launch; return the number of runs, None if the launch removed itself."""
    name = short_path(file.parent, plan.started_in)
    if plan.foreign and any(not other.foreign for _, other in found.plans):
        console.say(f"{name} is skipped: {plan.foreign}.")
        found.skipped = True
        return 0
    if plan.foreign:  # before its lock, which this user may not open
        _refuse(file, plan)
    if plan.scheduler == LOCAL and is_held(file.parent / "lock"):
        console.say(f"{name} is skipped: its program is running, and starts its runs itself.")
        found.skipped = True
        return 0
    with ExitStack() as stack:
        try:
            lock = stack.enter_context(lock_launch(file.parent, plan.started_in))
        except RunDirectoryError:
            if file.exists():
                raise
        if not file.exists():  # the launch removed itself while this process waited for it
            return None
        plan = Plan.read(file)
        if plan.scheduler == LOCAL:
            local = local_launch(file.parent, plan)
            total = local.resume()
            found.skipped |= local.skipped > 0
            return total
        launch = Launch(file.parent, plan, scheduler_of(plan))
        with class_errors_reported(type(launch.scheduler)):
            return _submit_missing(launch, lock, found)


def _refuse(file: Path, plan: Plan) -> None:
    """Raise the error for a launch of another user."""
    if plan.scheduler == LOCAL:
        local_launch(file.parent, plan)
    scheduler_of(plan)


def _submit_missing(launch: Launch, lock: int, found: _Found) -> int:
    entries = read_entries(launch.directory.parent / SUBMISSIONS, "run", "job_id")
    recorded = {one["run"]: one["job_id"] for one in entries if one.get("launch") == launch.directory.name}
    for index, request in enumerate(launch.requests):
        if request.replaced.exists():
            launch.job_ids[index] = []
        elif job_ids := submitted_jobs(launch.scheduler, request, recorded):
            if all(str(run.directory.path) in recorded for run in request.runs):
                launch.job_ids[index] = job_ids
            else:
                launch.record_submission(index, job_ids)
    unsubmitted = launch.unsubmitted
    free, taken, by_hand = _split(launch, unsubmitted)
    skipped = [
        f"skipping {run_ranges(runs)}, {why}."
        for runs, why in ((taken, "used by another launch or run since"), (by_hand, "started by hand"))
        if runs
    ]
    if skipped:
        found.skipped = True
        for text in skipped:
            console.say(f"{launch.short_path}: {text}")
        return _submit_apart(launch, free, skipped)
    if unsubmitted:
        console.say(f"{launch.short_path}: submitting {run_ranges(unsubmitted)} to {launch.scheduler.title}:")
        for index, request in enumerate(launch.requests):
            if index not in launch.job_ids:
                launch.write_request(request)
        launch.submit(lock)
    return len(unsubmitted)


def _split(launch: Launch, runs: Sequence[PlannedRun]) -> tuple[list[PlannedRun], list[PlannedRun], list[PlannedRun]]:
    """Split runs without a job into runs to submit, runs whose directories are taken since, and runs started by hand.

    A run that was started by hand is submitted only if it has failed.
    """
    free: list[PlannedRun] = []
    taken: list[PlannedRun] = []
    by_hand: list[PlannedRun] = []
    paths = [run.directory.path for run in runs]
    records = RunReader(paths[0].parent).read_some(paths) if paths else []
    for run, record, resolved in zip(runs, records, StatusResolver().resolve(records), strict=True):
        last, has_started = record.launch, not record.is_unsubmitted
        is_active = not resolved.is_finished and resolved.status != "NOT_SUBMITTED"
        # A run without a scheduler did not come from the script of this run
        is_another = has_started and not record.info.get("scheduler", {}).get("name")
        if last is not None and (is_another or not last.directory.samefile(launch.directory)):
            taken.append(run)
        elif is_active or (has_started and resolved.status in ("COMPLETE", "UNKNOWN")):
            by_hand.append(run)
        else:
            free.append(run)
    return free, taken, by_hand


def _submit_apart(launch: Launch, runs: Sequence[PlannedRun], skipped: Sequence[str]) -> int:
    """Submit some of a launch's runs as a new launch, because a request for fewer runs is another request."""
    if not runs:
        _replace(launch, skipped)
        return 0
    is_limited = launch.scheduler.options.array_parallelism
    after = (launch.last_job_ids if is_limited else ()) or launch.plan.after
    directory = make_directory(launch.directory.parent, 1)
    apart = Launch(directory, replace(launch.plan, runs=runs, after=after), launch.scheduler)
    try:
        apart.start(f"{apart.short_path}: submitting {run_ranges(runs)} to {launch.scheduler.title}:")
    finally:
        if apart.plan_file.exists():  # otherwise it has removed itself
            _replace(launch, [*skipped, f"{directory.name} submits {run_ranges(runs)}."])
    return len(runs)


def _replace(launch: Launch, notes: Sequence[str]) -> None:
    """Record that the requests that are not submitted will not be, and what became of their runs."""
    for index, request in enumerate(launch.requests):
        if index not in launch.job_ids:
            write_whole(request.replaced, "".join(f"{note}\n" for note in notes))
