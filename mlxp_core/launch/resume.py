"""mlxp resume: submit the runs of unfinished launches that the scheduler does not have."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mlxp_core import console
from mlxp_core.config.options import read_options
from mlxp_core.errors import OptionError, RunDirectoryError, SchedulerUnavailableError
from mlxp_core.interrupts import raise_on_signals
from mlxp_core.launch.launch import Launch, make_directory
from mlxp_core.launch.plan import Plan, PlannedRun, run_ranges
from mlxp_core.launch.submission import find_request, how_to_check
from mlxp_core.launch.submission_requests import Request
from mlxp_core.runs.info import RunStatus, read_info
from mlxp_core.runs.journal import SUBMISSIONS, import_paths, read_entries
from mlxp_core.runs.reader import RunReader
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.class_errors import class_errors_reported
from mlxp_core.schedulers.loading import load_scheduler

# Where launches are below a directory of numbered runs, of one sweep, of sweeps of a day, and Hydra's multirun/
_PLACES = ("sweeps/*/launch-*", "launch-*", "*/launch-*", "*/*/launch-*")


def resume(directory: Path) -> int:
    """Submit the runs of the launches below a directory that were not submitted.

    Args:
        directory: Directory of numbered runs, of one sweep, or of several sweeps.

    Returns:
        The number of runs that this call submitted.

    Raises:
        RunDirectoryError: There is no launch.
        LaunchRecordError: The plan of a launch cannot be read.
        SchedulerUnavailableError: The scheduler does not answer whether it has the runs.
        SubmissionError, LaunchInterruptedError: Not all runs were submitted; the message says what to do.
    """
    launches = list(_launches(directory))
    if not launches:
        raise RunDirectoryError(
            f"There is no launch in {directory}: give the directory of numbered runs (./logs) or of a sweep."
        )
    total = 0
    with raise_on_signals():
        for launch in launches:
            total += _resume(launch)
    if not total:
        number = "1 launch" if len(launches) == 1 else f"{len(launches)} launches"
        console.say(f"Nothing to resume: all runs of {number} are submitted.")
    return total


def _launches(directory: Path) -> Iterator[Launch]:
    pattern = next((place for place in _PLACES if any(directory.glob(f"{place}/plan.json"))), None)
    files = sorted(directory.glob(f"{pattern}/plan.json"), key=lambda file: file.stat().st_mtime) if pattern else []
    for file in files:
        plan = Plan.read(file)
        if not plan.options.get("dry_run"):
            yield Launch(file.parent, plan, scheduler_of(plan))


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


def _resume(launch: Launch) -> int:
    """Submit what is missing of one launch; return the number of runs submitted."""
    with launch.lock() as lock, class_errors_reported(type(launch.scheduler)):
        entries = read_entries(launch.directory.parent / SUBMISSIONS, "run", "job_id")
        recorded = {(entry["run"], entry["job_id"]) for entry in entries}
        for index, request in enumerate(launch.requests):
            job_ids = _job_ids(launch.scheduler, request)
            if job_ids and (str(request.runs[-1].directory.path), job_ids[-1]) in recorded:
                launch.job_ids[index] = job_ids
            elif job_ids:
                launch.record_submission(index, job_ids)
        unsubmitted = launch.unsubmitted
        free, taken = _split(launch, unsubmitted)
        if taken:
            console.say(f"{launch.short_path}: skipping {run_ranges(taken)}, used by another launch or run since.")
            return _submit_apart(launch, free)
        if unsubmitted:
            console.say(f"{launch.short_path}: submitting {run_ranges(unsubmitted)} to {launch.scheduler.title}:")
            for index, request in enumerate(launch.requests):
                if index not in launch.job_ids:
                    launch.write_request(request)
            launch.submit(lock)
        return len(unsubmitted)


def _split(launch: Launch, runs: Sequence[PlannedRun]) -> tuple[list[PlannedRun], list[PlannedRun]]:
    """Split runs without a job into those whose directories are free and those whose directories are taken since."""
    free: list[PlannedRun] = []
    taken: list[PlannedRun] = []
    paths = [run.directory.path for run in runs]
    for run, found in zip(runs, RunReader(paths[0].parent).read_some(paths) if paths else [], strict=True):
        last = found.launch
        is_free = last is None or (found.is_unsubmitted and last.directory.samefile(launch.directory))
        (free if is_free else taken).append(run)
    return free, taken


def _submit_apart(launch: Launch, runs: Sequence[PlannedRun]) -> int:
    """Submit some of a launch's runs as a new launch, because a request for fewer runs is another request."""
    if runs:
        plan = replace(launch.plan, runs=runs)
        apart = Launch(make_directory(launch.directory.parent, 1), plan, launch.scheduler)
        is_limited = launch.scheduler.options.array_parallelism and launch.job_ids
        before = launch.job_ids[max(launch.job_ids)] if is_limited else ()
        message = f"{apart.short_path}: submitting {run_ranges(runs)} to {launch.scheduler.title}:"
        apart.start(message, dependencies=before)
    return len(runs)


def _job_ids(scheduler: Scheduler, request: Request) -> list[str]:
    """Return the job ids of a request, from its answer, the scheduler or the runs' records; empty if not submitted."""
    if not request.answer.exists():
        return []
    answer = request.answer.read_text(encoding="utf-8", errors="replace")
    job_ids = scheduler.job_ids(answer, request.tasks)
    can_find = scheduler.implements("find")
    if len(job_ids) != (request.tasks or 1):  # the answer is incomplete, or an error message
        job_ids = find_request(scheduler, request) if can_find else []
    if job_ids:
        return job_ids
    # Schedulers forget finished jobs (SLURM without accounting after minutes), but a run that started has a record
    infos = [read_info(run.directory.info) for run in request.runs]
    if any(info.get("status", RunStatus.STARTING) != RunStatus.STARTING for info in infos):
        of_jobs = infos[:: request.array.runs_per_job if request.array else 1]
        return [info.get("scheduler", {}).get("scheduler_job_id") or "unknown" for info in of_jobs]
    if not can_find:
        raise SchedulerUnavailableError(
            f"{request.answer} contains no job id, but {run_ranges(request.runs)} may be submitted. "
            f"{how_to_check(scheduler, request)}"
        )
    return []
