"""One call of a launcher on disk: the plan is written, then submitted, then the scheduler's answers are recorded.

launch-1/           in the sweep's directory
  plan.json         what is submitted; once it exists, `mlxp resume` can continue the launch
  lock              held during the submission, also by a submission command that outlives this process
  1/                the first request
    script.sh       the submitted script, under a path that no other request has
    0 1 2 ...       links to the directories of its runs
    answer.txt      the answer of the submission command, written by that command
    replaced.txt    what became of the runs of a request that is not submitted any more
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mlxp_core import console
from mlxp_core.commands import Answer
from mlxp_core.errors import (
    AnswerUnreadableError,
    LaunchInterruptedError,
    MlxpError,
    RunDirectoryError,
    SubmissionDeferredError,
    SubmissionError,
    SubmissionUnknownError,
)
from mlxp_core.files import cannot_write
from mlxp_core.launch.plan import PLAN, Plan, PlannedRun, run_ranges
from mlxp_core.launch.run_files import RunFiles
from mlxp_core.launch.submission import submit_with_retries
from mlxp_core.launch.submission_requests import Request, submission_requests, write_request
from mlxp_core.locks import locked
from mlxp_core.paths import short_path
from mlxp_core.runs.info import now
from mlxp_core.runs.journal import SUBMISSIONS, append_entries
from mlxp_core.schedulers.base import Scheduler

NOTHING_SUBMITTED = "Nothing was submitted."


class Launch:
    """A launch on disk.

    Attributes:
        directory: Directory of the launch.
        plan: What the launch submits.
        scheduler: Scheduler that takes it.
        submitted_before: Number of runs that the same command has submitted in other launches.
        requests: Calls of the submission command.
        job_ids: Job ids of each submitted request, by the index of the request; empty strings for ids that are not
            known.
    """

    def __init__(self, directory: Path, plan: Plan, scheduler: Scheduler, *, submitted_before: int = 0) -> None:
        self.directory = directory
        self.plan = plan
        self.scheduler = scheduler
        self.submitted_before = submitted_before
        self.requests = submission_requests(plan, scheduler.options, directory)
        self.job_ids: dict[int, list[str]] = {}
        # Whether this process makes it, and so knows what was there before
        self._is_new = False
        self._files = RunFiles(directory, plan, type(scheduler).__name__, scheduler.script)

    def start(self, message: str) -> None:
        """Write a new launch, print a message, and submit the launch.

        Raises:
            MlxpError: As `write` and `submit`.
        """
        with lock_launch(self.directory, self.plan.started_in) as lock, self.removed_on_failure():
            self.write()
            console.say(message)
            self.submit(lock)

    def write(self) -> None:
        """Write everything that is submitted, beginning with the plan.

        Raises:
            RunDirectoryError: A file cannot be written.
        """
        if len(self.plan.runs) > console.SILENT:
            console.say(f"Preparing {len(self.plan.runs)} runs ...")
        self.plan.write(self.plan_file)
        for request in self.requests:
            self.write_request(request)

    def write_request(self, request: Request) -> None:
        """Write the files of one request, including those of its runs."""
        for run in request.runs:
            self._files.write(run)
        write_request(request, self.scheduler)

    def remove(self) -> None:
        """Remove a launch of which nothing was submitted, and restore the directories of its runs."""
        if not self._is_new:  # also the second time: by now another launch may have this directory
            return
        self._is_new = False
        # First the file that makes it one to resume
        self.plan_file.unlink(missing_ok=True)
        self._files.restore(self.plan.runs)
        shutil.rmtree(self.directory, ignore_errors=True)

    @contextmanager
    def removed_on_failure(self) -> Iterator[None]:
        """Remove a new, locked launch again after an error or interrupt before the first submission."""
        self._is_new = True
        try:
            yield
        except BaseException:
            if not self._has_attempts:
                self.remove()
            raise

    @property
    def plan_file(self) -> Path:
        """The file that makes it a launch to resume."""
        return self.directory / PLAN

    @property
    def short_path(self) -> str:
        """The directory of the launch, as messages show it."""
        return short_path(self.directory, self.plan.started_in)

    def submit(self, lock: int, *, verbatim: bool = False) -> None:
        """Submit the requests that are not submitted yet.

        Args:
            lock: File descriptor from `lock_launch`.
            verbatim: Whether to print the scheduler's answer, instead of one line for each run.

        Raises:
            SubmissionError: The scheduler did not take all requests. What it took is not affected, the rest can be
                resumed, and the message says both.
            LaunchInterruptedError: The same, after an interrupt by the user.
        """
        options, dependencies = self.scheduler.options, self.plan.after
        try:
            for index, request in enumerate(self.requests):
                if index not in self.job_ids:
                    answer = submit_with_retries(
                        self.scheduler,
                        request,
                        retry_min=options.submit_retry_min,
                        keep_open=[lock],
                        dependencies=dependencies,
                        on_submitted=partial(self.record_submission, index),
                    )
                    self._report(request, self.job_ids[index], answer, verbatim=verbatim)
                if options.array_parallelism:  # one request at a time
                    dependencies = tuple(filter(None, self.job_ids[index])) or dependencies
        except (MlxpError, KeyboardInterrupt) as error:
            raise self._failure(error) from None

    def record_submission(self, index: int, job_ids: list[str]) -> None:
        """Append the job of each run of a request to the sweep's journal; from now on the job owns the run directory.

        Args:
            index: Index of the request.
            job_ids: Its jobs, one for each task; an empty string for an id that is not known.

        Raises:
            RunDirectoryError: The journal cannot be written. `mlxp resume` still finds the job ids, in the answer of
                the submission command.
        """
        self.job_ids[index] = job_ids
        request, journal = self.requests[index], self.directory.parent / SUBMISSIONS
        common = {"scheduler": type(self.scheduler).__name__, "at": now(), "launch": self.directory.name}
        entries = (
            {"run": str(run.directory.path), "job_id": request.job_id(job_ids, place), **common}
            for place, run in enumerate(request.runs)
        )
        try:
            append_entries(journal, entries)
        except OSError as error:
            raise RunDirectoryError(
                f"{run_ranges(request.runs)} was submitted as job {job_ids[0]}, but the job id could not be recorded. "
                f"{cannot_write(journal, error)}"
            ) from error

    def run_job_ids(self) -> list[str]:
        """Return the job id of each run, of a launch that is submitted completely."""
        return [
            request.job_id(self.job_ids[index], place)
            for index, request in enumerate(self.requests)
            for place in range(len(request.runs))
        ]

    @property
    def submitted(self) -> int:
        """The number of runs that are submitted."""
        return sum(len(self.requests[index].runs) for index in self.job_ids)

    @property
    def last_job_ids(self) -> tuple[str, ...]:
        """The known ids of the jobs of the last submitted request."""
        return tuple(filter(None, self.job_ids[max(self.job_ids)])) if self.job_ids else ()

    @property
    def unsubmitted(self) -> list[PlannedRun]:
        """The runs that are not submitted."""
        return [run for index, request in enumerate(self.requests) if index not in self.job_ids for run in request.runs]

    def _report(self, request: Request, job_ids: Sequence[str], answer: Answer, *, verbatim: bool) -> None:
        if verbatim:
            console.say(f"{answer.text}\n\nJob launched!")
            return
        if len(self.plan.runs) <= console.NAMED:
            for place, run in enumerate(request.runs):
                console.say(f"  {run.short_path}  job {request.job_id(job_ids, place)}  {' '.join(run.overrides)}")
        else:
            last = f" to {job_ids[-1]}" if len(job_ids) > 1 else ""
            console.say(f"  {run_ranges(request.runs)}  {console.plural(job_ids, 'job')} {job_ids[0]}{last}")
        if answer.exit_status != 0:
            console.say(f"    but {self.scheduler.title} also reported: {answer.text}")

    @property
    def _has_attempts(self) -> bool:
        """Whether the submission command was called."""
        return any(request.answer.exists() or request.refusal.exists() for request in self.requests)

    def _failure(self, error: BaseException) -> MlxpError:
        """Clean up after a submission that failed half-way; return an error that says what is submitted."""
        lines = [str(error) or "Interrupted."]
        unsubmitted, submitted = self.unsubmitted, self.submitted
        in_doubt = (AnswerUnreadableError, SubmissionUnknownError)
        can_resume = isinstance(error, (SubmissionDeferredError, KeyboardInterrupt, *in_doubt))
        if self._is_new and not submitted and not (self._has_attempts and can_resume):
            self.remove()
            none = f"Not submitted: {run_ranges(self.plan.runs)}." if self.submitted_before else NOTHING_SUBMITTED
            lines.append(none)
        else:
            if submitted:
                lines.append(
                    f"{submitted} of {console.count(self.plan.runs, 'run')} submitted. These jobs are unaffected."
                )
            resume = shlex.join(["mlxp", "resume", short_path(self.directory.parent, self.plan.started_in)])
            if unsubmitted and isinstance(error, in_doubt):
                doubtful = next(request for index, request in enumerate(self.requests) if index not in self.job_ids)
                rest = unsubmitted[len(doubtful.runs) :]
                not_submitted = f" Not submitted: {run_ranges(rest)}." if rest else ""
                lines.append(f"Possibly submitted: {run_ranges(doubtful.runs)}.{not_submitted} To continue: {resume}")
            elif unsubmitted:
                lines.append(f"Not submitted: {run_ranges(unsubmitted)}. To submit them: {resume}")
        kind = LaunchInterruptedError if isinstance(error, KeyboardInterrupt) else SubmissionError
        return kind("\n".join(lines))


@contextmanager
def lock_launch(directory: Path, base: Path | None = None) -> Iterator[int]:
    """Keep other processes from submitting a launch; yield a file descriptor that holds the lock.

    Waits for a process that has the lock. The submission command inherits the descriptor, so that the launch stays
    locked until that command has answered, even if this process ends earlier.

    Args:
        directory: Directory of the launch.
        base: Directory to which messages show it relative; the current one by default.

    Raises:
        RunDirectoryError: The lock cannot be taken. The launch may have been removed during the wait.
    """
    with locked(directory / "lock", f"{short_path(directory, base)} is being submitted") as lock:
        yield lock


def make_directory(sweep_dir: Path, first: int) -> Path:
    """Make the directory of a new launch and return it.

    Args:
        sweep_dir: Directory of the sweep.
        first: Lowest number that may be free.

    Raises:
        RunDirectoryError: The directory cannot be made.
    """
    number = first
    while True:
        directory = sweep_dir / f"launch-{number}"
        try:
            directory.mkdir(parents=True)
            return directory
        except FileExistsError:
            number += 1
        except OSError as error:
            raise cannot_write(directory, error) from error
