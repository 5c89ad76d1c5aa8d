"""The requests of a launch: each is one call of the scheduler's submission command, for one run or for an array."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlxp_core.config.options import BatchOptions
from mlxp_core.errors import OptionError
from mlxp_core.files import cannot_write, write_whole
from mlxp_core.jobs.array_script import Array
from mlxp_core.launch.plan import Plan, PlannedRun
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.class_errors import class_name


@dataclass(frozen=True)
class Request:
    """One call of the submission command.

    Attributes:
        directory: its own; `script.sh` in it is what is submitted, a path that no other request has.
        runs: what it is for.
        array: how the runs share it; None for a single run.
    """

    directory: Path
    runs: Sequence[PlannedRun]
    array: Array | None

    @property
    def script(self) -> Path:
        return self.directory / "script.sh"

    @property
    def answer(self) -> Path:
        """What the submission command said; not there before it was called."""
        return self.directory / "answer.txt"

    @property
    def refusal(self) -> Path:
        """What it said when it refused, of a scheduler that cannot be asked whether it did."""
        return self.directory / "refusal.txt"

    @property
    def tasks(self) -> int | None:
        """How many jobs it makes, if it is an array."""
        return None if self.array is None else self.array.tasks

    def job_id(self, job_ids: Sequence[str], index: int) -> str:
        """The job of the run at `index`, of the jobs that the request made."""
        return job_ids[index // self.array.runs_per_job if self.array else 0]


def submission_requests(plan: Plan, options: BatchOptions, directory: Path) -> list[Request]:
    """The requests of a launch, in order.

    Args:
        plan: what is launched.
        options: the launcher's.
        directory: the launch's own.
    """
    size = plan.array_size * options.runs_per_job
    requests = []
    for number, start in enumerate(range(0, len(plan.runs), size), start=1):
        runs, own = plan.runs[start : start + size], directory / str(number)
        array = None
        if len(runs) > 1:
            jobs = [run.job for run in runs]
            array = Array(
                own, options.name, jobs, options.runs_per_job, options.parallel_runs, options.array_parallelism
            )
        requests.append(Request(own, runs, array))
    return requests


def write_request(request: Request, scheduler: Scheduler) -> None:
    """Write what is submitted, and the links to the runs; what is there from an earlier time is the same.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    array = request.array
    try:
        request.directory.mkdir(exist_ok=True)
        if array is None:
            _link(request.script, request.runs[0].directory.script)
            return
        for index, run in enumerate(request.runs):
            task, place = divmod(index, array.runs_per_job)
            link = request.directory / str(task)
            if array.runs_per_job > 1:
                link.mkdir(exist_ok=True)
                link = link / str(place)
            _link(link, run.directory.path)
    except OSError as error:
        raise cannot_write(request.directory, error) from error
    if scheduler.uses_param_file:
        write_whole(array.params, "".join(f"{task}\n" for task in range(array.tasks)))
    write_whole(request.script, scheduler.array_script(array), mode=0o777)


def _link(link: Path, target: Path) -> None:
    with suppress(FileExistsError):
        link.symlink_to(target)


def check_array_options(scheduler: Scheduler, options: BatchOptions, runs: int, *, first: bool) -> int:
    """How many jobs one request may have at the most.

    Args:
        scheduler: asked for its limit.
        options: the launcher's.
        runs: how many there are in this batch.
        first: whether it is the sweep's first batch; a later one may be smaller.

    Raises:
        OptionError: options that cannot hold.
    """
    if options.parallel_runs > options.runs_per_job:
        raise OptionError(
            f"hydra.launcher.parallel_runs={options.parallel_runs} is more than the runs that share a job "
            f"(hydra.launcher.runs_per_job={options.runs_per_job}): raise that, or lower this."
        )
    if first and options.runs_per_job > max(runs, 1):
        raise OptionError(
            f"hydra.launcher.runs_per_job={options.runs_per_job} is more than this sweep has runs ({runs}): give at "
            f"most {runs}."
        )
    if options.array_parallelism is not None and options.array_parallelism < options.parallel_runs:
        raise OptionError(
            f"hydra.launcher.array_parallelism={options.array_parallelism} is less than the "
            f"{options.parallel_runs} runs at a time in one job (hydra.launcher.parallel_runs): lower that, or raise "
            "this."
        )
    if not scheduler.task_id_expression:
        if options.runs_per_job > 1 or options.array_parallelism is not None:
            raise OptionError(
                f"{scheduler.title} takes each run on its own here: remove hydra.launcher.runs_per_job and "
                "hydra.launcher.array_parallelism."
            )
        return 1
    if options.array_parallelism is not None and not scheduler.implements("dependency_arguments"):
        raise OptionError(
            f"hydra.launcher.array_parallelism cannot hold on {scheduler.title}: {class_name(type(scheduler))} has no "
            "method dependency_arguments, which lets one request wait for another. Leave the option out."
        )
    limit = None
    if not options.dry_run and runs > options.runs_per_job:
        limit = scheduler.ask_max_array_size()
    asked = options.max_array_size
    if limit is not None and asked is not None and asked > limit:
        raise OptionError(
            f"hydra.launcher.max_array_size={asked} is more than {scheduler.title} takes here, which is {limit}: give "
            "at most that, or leave the option out."
        )
    return max(1, min(size for size in (limit, asked, max(runs, 1)) if size is not None))
