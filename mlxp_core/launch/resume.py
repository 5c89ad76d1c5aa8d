"""Going on with launches that were broken off: what the scheduler does not have is submitted, and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mlxp_core import console
from mlxp_core.config.options import read_options
from mlxp_core.errors import RunDirectoryError, SchedulerUnavailableError
from mlxp_core.interrupts import raise_on_signals
from mlxp_core.launch.launch import Launch, make_directory
from mlxp_core.launch.plan import Plan, PlannedRun, labels
from mlxp_core.launch.submission import cannot_look, find_request
from mlxp_core.launch.submission_requests import Request
from mlxp_core.runs.info import RunStatus, read_info
from mlxp_core.runs.journal import SUBMISSIONS, import_paths, read_entries
from mlxp_core.runs.reader import RunReader
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.class_errors import class_errors_reported
from mlxp_core.schedulers.loading import load_scheduler

# Where launches are below a directory: that of numbered runs, a sweep's own, Hydra's multirun/<day>/<time>, a day's
_PLACES = ("sweeps/*/launch-*", "launch-*", "*/launch-*", "*/*/launch-*")


def resume(directory: Path) -> int:
    """Submit the runs below a directory that a launch did not get to.

    Args:
        directory: of numbered runs, or of a sweep, or of sweeps.

    Returns:
        how many runs are submitted by this.

    Raises:
        RunDirectoryError: there is no launch.
        LaunchRecordError: what was to be launched cannot be read.
        SchedulerUnavailableError: the scheduler does not say whether it has them.
        SubmissionError, LaunchInterruptedError: not all were submitted; the message says how to go on.
    """
    launches = list(_launches(directory))
    if not launches:
        raise RunDirectoryError(
            f"There is no launch in {directory}: name the directory of the numbered runs (./logs), or that of a sweep."
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
    """The scheduler of a launch; a class of the user's is found where the application finds its own modules.

    Raises:
        OptionError: it is not found there, or cannot be.
    """
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
    with launch.locked() as lock, class_errors_reported(type(launch.scheduler)):
        entries = read_entries(launch.directory.parent / SUBMISSIONS, "run", "job_id")
        recorded = {(entry["run"], entry["job_id"]) for entry in entries}
        for place, request in enumerate(launch.requests):
            job_ids = _job_ids(launch.scheduler, request)
            if job_ids and (str(request.runs[-1].directory.path), job_ids[-1]) in recorded:
                launch.job_ids[place] = job_ids
            elif job_ids:
                launch.note(place, job_ids)
        missing = launch.missing
        free, taken = _parted(launch, missing)
        if taken:
            console.say(f"{launch.label}: leaving out {labels(taken)}, used by another launch or run since.")
            return _submit_apart(launch, free)
        if missing:
            console.say(f"{launch.label}: submitting {labels(missing)} to {launch.scheduler.title}:")
            for place, request in enumerate(launch.requests):
                if place not in launch.job_ids:
                    launch.write_request(request)
            launch.submit(lock)
        return len(missing)


def _parted(launch: Launch, runs: Sequence[PlannedRun]) -> tuple[list[PlannedRun], list[PlannedRun]]:
    """Of a launch's runs without a job those that are free, and those whose directories something later took."""
    free: list[PlannedRun] = []
    taken: list[PlannedRun] = []
    paths = [run.directory.path for run in runs]
    for run, found in zip(runs, RunReader(paths[0].parent).read_some(paths) if paths else [], strict=True):
        last = found.launch
        is_free = last is None or (found.is_unsubmitted and last.directory.samefile(launch.directory))
        (free if is_free else taken).append(run)
    return free, taken


def _submit_apart(launch: Launch, runs: Sequence[PlannedRun]) -> int:
    """Submit some of a launch's runs as a launch of their own, for a request of fewer runs is another one."""
    if runs:
        plan = replace(launch.plan, runs=runs)
        apart = Launch(make_directory(launch.directory.parent, 1), plan, launch.scheduler)
        is_limited = launch.scheduler.options.array_parallelism and launch.job_ids
        before = launch.job_ids[max(launch.job_ids)] if is_limited else ()
        apart.start(f"{apart.label}: submitting {labels(runs)} to {launch.scheduler.title}:", after=before)
    return len(runs)


def _job_ids(scheduler: Scheduler, request: Request) -> list[str]:
    """The jobs of a request, as far as anybody knows; none when it is not submitted."""
    if not request.answer.exists():
        return []
    answer = request.answer.read_text(encoding="utf-8", errors="replace")
    job_ids = scheduler.job_ids(answer, request.tasks)
    can_look = scheduler.implements("find")
    if len(job_ids) != (request.tasks or 1):  # it was cut off, or was no answer
        job_ids = find_request(scheduler, request) if can_look else []
    if job_ids:
        return job_ids
    # A scheduler forgets jobs that ended (SLURM without accounts after minutes); a run that started remembers
    infos = [read_info(run.directory.info) for run in request.runs]
    if any(info.get("status", RunStatus.STARTING) != RunStatus.STARTING for info in infos):
        of_jobs = infos[:: request.array.runs_per_job if request.array else 1]
        return [info.get("scheduler", {}).get("scheduler_job_id") or "unknown" for info in of_jobs]
    if not can_look:
        raise SchedulerUnavailableError(
            f"{request.answer} names no job, and {labels(request.runs)} may be submitted all the same. "
            f"{cannot_look(scheduler, request)}"
        )
    return []
