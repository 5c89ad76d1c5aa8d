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
        directory: Directory of the request. Its `script.sh` is submitted; no other request has this path.
        runs: Runs of the request.
        array: The array that the runs make; None for a single run.
    """

    directory: Path
    runs: Sequence[PlannedRun]
    array: Array | None

    @property
    def script(self) -> Path:
        return self.directory / "script.sh"

    @property
    def answer(self) -> Path:
        """The answer of the submission command; the file exists once the command was called."""
        return self.directory / "answer.txt"

    @property
    def refusal(self) -> Path:
        """The answer of a scheduler without `find`, if it is a refusal."""
        return self.directory / "refusal.txt"

    @property
    def replaced(self) -> Path:
        """A note about what became of the runs; it exists once the request itself is not to be submitted any more."""
        return self.directory / "replaced.txt"

    @property
    def runs_per_job(self) -> int:
        """The number of runs that share a job."""
        return self.array.runs_per_job if self.array else 1

    @property
    def tasks(self) -> int | None:
        """The number of jobs that an array makes; None for a single run."""
        return None if self.array is None else self.array.tasks

    def job_id(self, job_ids: Sequence[str], place: int) -> str:
        """Return the job of one run.

        Args:
            job_ids: Jobs of the request.
            place: Position of the run in the request, from 0.
        """
        return job_ids[place // self.runs_per_job]


def submission_requests(plan: Plan, options: BatchOptions, directory: Path) -> list[Request]:
    """Return the requests of a launch, in the order of their submission.

    Args:
        plan: Plan of the launch.
        options: Launcher options.
        directory: Directory of the launch.
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
    """Write the script of a request and the links to its runs; files from an earlier attempt are the same.

    Raises:
        RunDirectoryError: A file cannot be written.
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


def check_array_options(
    scheduler: Scheduler, options: BatchOptions, runs: int, *, first: bool, concurrent_batches: bool = False
) -> int:
    """Check the options that shape requests; return the maximum number of jobs in one request.

    Args:
        scheduler: Scheduler, which is asked for its limit.
        options: Launcher options.
        runs: Number of runs in this batch.
        first: Whether this is the first batch of the sweep; a later one may be smaller.
        concurrent_batches: Whether the jobs of another batch may run at the same time.

    Raises:
        OptionError: An option has a value that cannot work here.
    """
    if options.parallel_runs > options.runs_per_job:
        raise OptionError(
            f"hydra.launcher.parallel_runs must be at most hydra.launcher.runs_per_job ({options.runs_per_job}), the "
            f"number of runs that share a job; got {options.parallel_runs}."
        )
    if first and options.runs_per_job > max(runs, 1):
        raise OptionError(
            f"hydra.launcher.runs_per_job must be at most the number of runs in the sweep ({runs}), got "
            f"{options.runs_per_job}."
        )
    if options.array_parallelism is not None and options.array_parallelism < options.parallel_runs:
        raise OptionError(
            "hydra.launcher.array_parallelism must be at least hydra.launcher.parallel_runs "
            f"({options.parallel_runs}), the number of runs at a time in one job; got {options.array_parallelism}."
        )
    if not scheduler.task_id_expression:
        if options.runs_per_job > 1 or options.array_parallelism is not None:
            raise OptionError(
                f"Each run on {scheduler.title} is a request of its own, because {class_name(type(scheduler))} has no "
                "task_id_expression. Remove hydra.launcher.runs_per_job and hydra.launcher.array_parallelism."
            )
        return 1
    limit = None
    if not options.dry_run and runs > options.runs_per_job:
        limit = scheduler.ask_max_array_size()
    asked = options.max_array_size
    if limit is not None and asked is not None and asked > limit:
        raise OptionError(
            f"hydra.launcher.max_array_size must be at most {limit}, the limit of {scheduler.title} here; got {asked}. "
            "Without the option the limit is used."
        )
    size = max(1, min(size for size in (limit, asked, max(runs, 1)) if size is not None))
    # Within one request, its directives limit the number of concurrent tasks
    has_several_requests = concurrent_batches or runs > size * options.runs_per_job
    is_limited = options.array_parallelism is not None
    if is_limited and has_several_requests and not scheduler.implements("dependency_arguments"):
        raise OptionError(
            f"hydra.launcher.array_parallelism cannot limit several requests on {scheduler.title}: "
            f"{class_name(type(scheduler))} does not implement dependency_arguments, by which one request waits for "
            "another. Remove the option, or submit the sweep as one request (hydra.launcher.max_array_size, "
            "hydra.sweeper.max_batch_size)."
        )
    return size
