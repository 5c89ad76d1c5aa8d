"""One call of a launcher: what it will submit is written down, then submitted, then the answers are written down.

launch-1/           in the sweep's directory
  plan.json         what is to be submitted: from here on the launch can be resumed
  lock              held while it is being submitted, also by a submission command that outlives this process
  1/                the first request
    script.sh       what is submitted, under a path that no other request has
    0 1 2 ...       links to the directories of its runs
    answer.txt      what the submission command said, written by itself
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
from mlxp_core.launch.plan import Plan, PlannedRun, label, labels
from mlxp_core.launch.run_files import RunFiles
from mlxp_core.launch.submission import submit_with_retries
from mlxp_core.launch.submission_requests import Request, submission_requests, write_request
from mlxp_core.locks import locked
from mlxp_core.runs.info import now
from mlxp_core.runs.journal import SUBMISSIONS, append_entries
from mlxp_core.schedulers.base import Scheduler


class Launch:
    """A launch on disk.

    Attributes:
        directory: its own.
        plan: what is to be submitted.
        scheduler: what takes it.
        requests: the calls of the submission command that it takes.
        job_ids: the jobs of each request that is submitted, by the request's place.
    """

    def __init__(self, directory: Path, plan: Plan, scheduler: Scheduler) -> None:
        self.directory = directory
        self.plan = plan
        self.scheduler = scheduler
        self.requests = submission_requests(plan, scheduler.options, directory)
        self.job_ids: dict[int, list[str]] = {}
        self._files = RunFiles(plan, type(scheduler).__name__, scheduler.script)

    def start(self, words: str, *, after: Sequence[str] = ()) -> None:
        """Write a launch that is new, say something, and submit it; raises what `write` and `submit` raise."""
        with self.new() as lock:
            self.write()
            console.say(words)
            self.submit(lock, after=after)

    def write(self) -> None:
        """Write all that is submitted; the plan comes first.

        Raises:
            RunDirectoryError: it cannot be written.
        """
        if len(self.plan.runs) > console.SILENT:
            console.say(f"Preparing {len(self.plan.runs)} runs ...")
        self.plan.write(self.directory / "plan.json")
        for request in self.requests:
            self.write_request(request)

    def write_request(self, request: Request) -> None:
        """Write all that one request submits, its runs included."""
        for run in request.runs:
            self._files.write(run)
        write_request(request, self.scheduler)

    def take_back(self) -> None:
        """Leave nothing of a launch of which nothing is submitted."""
        # First what makes it one that can be resumed
        (self.directory / "plan.json").unlink(missing_ok=True)
        self._files.take_back(self.plan.runs)
        shutil.rmtree(self.directory, ignore_errors=True)

    @contextmanager
    def locked(self) -> Iterator[int]:
        """Keep other processes from submitting this launch; yields a file descriptor that holds the lock.

        A submission command inherits it, so that the lock outlives this process until that command has answered. Waits
        for the process that has it.
        """
        with locked(self.directory / "lock", f"{self.label} is being submitted") as lock:
            yield lock

    @contextmanager
    def new(self) -> Iterator[int]:
        """`locked`, for a launch that is new: when it breaks off before its first submission, nothing is left of it."""
        with self.locked() as lock:
            try:
                yield lock
            except BaseException:
                if not self._begun:
                    self.take_back()
                raise

    @property
    def label(self) -> str:
        """Its directory, as short as it can be shown."""
        return label(self.directory, self.plan.started_in)

    def submit(self, lock: int, *, after: Sequence[str] = (), in_full: bool = False) -> None:
        """Submit the requests that are not submitted.

        Args:
            lock: from `locked`.
            after: jobs that must be over before the first of ours starts.
            in_full: whether to show all that the scheduler says, and not one line a run.

        Raises:
            SubmissionError: the scheduler did not take all. What it took stays, the rest can be resumed, and the
                message says both.
            LaunchInterruptedError: the same, by the user.
        """
        options = self.scheduler.options
        try:
            for place, request in enumerate(self.requests):
                if place in self.job_ids:
                    after = self.job_ids[place] if options.array_parallelism else after
                    continue
                answer = submit_with_retries(
                    self.scheduler,
                    request,
                    retry_min=options.submit_retry_min,
                    keep_open=[lock],
                    after=after,
                    note=partial(self.note, place),
                )
                after = self.job_ids[place] if options.array_parallelism else after
                if in_full:
                    console.say(f"{answer.text}\n\nJob launched!")
                else:
                    self._show(request, self.job_ids[place], answer)
        except (MlxpError, KeyboardInterrupt) as error:
            raise self._broken_off(error) from None

    def note(self, place: int, job_ids: list[str]) -> None:
        """Write the jobs of a request into the sweep's own record, a line a run: its directory belongs to the job now.

        Raises:
            RunDirectoryError: it cannot be written. The jobs are known all the same, from the command's own answer.
        """
        self.job_ids[place] = job_ids
        request, record = self.requests[place], self.directory.parent / SUBMISSIONS
        common = {"scheduler": type(self.scheduler).__name__, "at": now(), "launch": self.directory.name}
        entries = (
            {"run": str(run.directory.path), "job_id": request.job_id(job_ids, index), **common}
            for index, run in enumerate(request.runs)
        )
        try:
            append_entries(record, entries)
        except OSError as error:
            raise RunDirectoryError(
                f"{labels(request.runs)} is submitted as job {job_ids[0]}, but {cannot_write(record, error)}"
            ) from error

    def run_job_ids(self) -> list[str]:
        """The job of each run, when all are submitted."""
        return [
            request.job_id(self.job_ids[place], index)
            for place, request in enumerate(self.requests)
            for index in range(len(request.runs))
        ]

    @property
    def missing(self) -> list[PlannedRun]:
        """The runs that are not submitted."""
        return [run for place, request in enumerate(self.requests) if place not in self.job_ids for run in request.runs]

    def _show(self, request: Request, job_ids: Sequence[str], answer: Answer) -> None:
        if len(self.plan.runs) <= console.NAMED:
            for index, run in enumerate(request.runs):
                console.say(f"  {run.label}  job {request.job_id(job_ids, index)}  {' '.join(run.overrides)}")
        else:
            last = f" to {job_ids[-1]}" if len(job_ids) > 1 else ""
            console.say(f"  {labels(request.runs)}  {console.plural(job_ids, 'job')} {job_ids[0]}{last}")
        if answer.exit_status != 0:
            console.say(f"    but {self.scheduler.title} also said: {answer.text}")

    @property
    def _begun(self) -> bool:
        """Whether the scheduler was asked to take something."""
        return any(request.answer.exists() or request.refusal.exists() for request in self.requests)

    def _broken_off(self, error: BaseException) -> MlxpError:
        """Tidy up after a launch that ended half-way, and say what is submitted and what is not."""
        lines = [str(error) or "Interrupted."]
        missing, total = self.missing, len(self.plan.runs)
        submitted = total - len(missing)
        in_doubt = (AnswerUnreadableError, SubmissionUnknownError)
        may_pass = isinstance(error, (SubmissionDeferredError, KeyboardInterrupt, *in_doubt))
        if not submitted and not (self._begun and may_pass):
            self.take_back()
            lines.append("Nothing was submitted.")
        else:
            if submitted:
                lines.append(f"{submitted} of {console.count(self.plan.runs, 'run')} submitted; these stay.")
            continued = shlex.join(["mlxp", "resume", label(self.directory.parent, self.plan.started_in)])
            if missing and isinstance(error, in_doubt):
                doubtful = next(request for place, request in enumerate(self.requests) if place not in self.job_ids)
                missing = missing[len(doubtful.runs) :]
                rest = f" Not submitted: {labels(missing)}." if missing else ""
                lines.append(f"Perhaps submitted: {labels(doubtful.runs)}.{rest} To go on: {continued}")
            elif missing:
                lines.append(f"Not submitted: {labels(missing)}. To submit them: {continued}")
        kind = LaunchInterruptedError if isinstance(error, KeyboardInterrupt) else SubmissionError
        return kind("\n".join(lines))


def make_directory(sweep_dir: Path, first: int) -> Path:
    """The directory of a new launch.

    Args:
        sweep_dir: the sweep's.
        first: the lowest number that may be free.

    Raises:
        RunDirectoryError: it cannot be made.
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
