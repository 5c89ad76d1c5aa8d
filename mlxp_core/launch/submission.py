"""Submit one request, and retry it where a retry can help, but never while the scheduler may already have it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlxp_core import console
from mlxp_core.commands import Answer
from mlxp_core.errors import (
    AnswerUnreadableError,
    CommandTimeoutError,
    SchedulerUnavailableError,
    SubmissionDeferredError,
    SubmissionError,
    SubmissionUnknownError,
)
from mlxp_core.files import cannot_write
from mlxp_core.interrupts import STOP_SIGNALS, interrupts_blocked
from mlxp_core.launch.plan import run_ranges
from mlxp_core.launch.submission_requests import Request
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.class_errors import class_name

if TYPE_CHECKING:
    import tenacity

# Time between two searches for a request: a scheduler too busy to answer may still be about to read it
_SEARCH_INTERVAL_S = 5
# How long an interrupt waits for the answer to a request; both schedulers answer in a fraction of that
_INTERRUPT_TIMEOUT_S = 5


def submit_with_retries(
    scheduler: Scheduler,
    request: Request,
    *,
    retry_min: float,
    keep_open: Sequence[int],
    dependencies: Sequence[str],
    on_submitted: Callable[[list[str]], None],
) -> Answer:
    """Submit a request, with retries after errors that may pass; return the scheduler's answer.

    Args:
        scheduler: Scheduler that takes the request.
        request: The request, complete on disk.
        retry_min: Maximum time for retries, in minutes.
        keep_open: File descriptors that the submission command holds open until it has answered.
        dependencies: Ids of jobs that must finish before the request's jobs start.
        on_submitted: Records the job ids. Signals are blocked from the submission until it returns, so that an
            interrupted request is either submitted and recorded, or not submitted.

    Raises:
        SubmissionDeferredError: The scheduler refused until the end of the retries.
        SubmissionError: The scheduler refused, and a retry cannot help.
        AnswerUnreadableError: The scheduler apparently accepted the request, but its answer has no readable job ids.
        SubmissionUnknownError: It cannot be determined whether the scheduler has the request.
    """
    can_find = scheduler.implements("find")
    attempts = _Attempts(scheduler, request, retry_min, keep_open, dependencies, on_submitted)
    retryable: list[type[Exception]] = [SubmissionDeferredError]
    if can_find:
        retryable += [SubmissionUnknownError, SchedulerUnavailableError]
    try:
        return _retrying(retry_min, *retryable)(attempts.attempt)
    except (SchedulerUnavailableError, SubmissionUnknownError) as error:
        reason = str(error)
    except KeyboardInterrupt:
        if not attempts.may_be_submitted:
            raise
        reason = f"Interrupted. {scheduler.title} may have accepted the last request."
    raise SubmissionUnknownError(reason if can_find else f"{reason}\n{how_to_check(scheduler, request)}")


@dataclass
class _Attempts:
    """The attempts to submit one request; see `submit_with_retries` for the fields.

    Attributes:
        may_be_submitted: Whether the scheduler may have accepted the request in an attempt whose answer is lost.
    """

    scheduler: Scheduler
    request: Request
    retry_min: float
    keep_open: Sequence[int]
    dependencies: Sequence[str]
    on_submitted: Callable[[list[str]], None]
    may_be_submitted: bool = False

    def attempt(self) -> Answer:
        """Submit the request, unless the scheduler has it from an earlier attempt."""
        scheduler = self.scheduler
        if self.may_be_submitted and (job_ids := find_request(scheduler, self.request)):
            self.on_submitted(job_ids)
            return Answer(scheduler.submit_command, 0, f"{scheduler.title} had accepted it: job {job_ids[0]}.", "")
        self.may_be_submitted = True
        with interrupts_blocked(STOP_SIGNALS):
            try:
                job_ids, answer = scheduler.submit(
                    self.request.script,
                    self.request.tasks,
                    answer=self.request.answer,
                    keep_open=self.keep_open,
                    after=self.dependencies,
                    still_waiting=self._still_waiting,
                )
            except SubmissionUnknownError:
                raise
            except SubmissionError as error:
                self._check_refusal(error)
                raise
            except OSError as error:
                self.may_be_submitted = False
                raise cannot_write(self.request.answer, error) from error
            except BaseException:
                self.may_be_submitted = False
                raise
            self.may_be_submitted = False
            self.on_submitted(job_ids)
            return answer

    def _check_refusal(self, error: SubmissionError) -> None:
        """Make sure that a refusal is on disk as one.

        Raises:
            SubmissionUnknownError: The answer is lost, so it may have been none.
        """
        request, scheduler = self.request, self.scheduler
        if not request.answer.stat().st_size:  # the disk was full, or the command was killed
            raise SubmissionUnknownError(f"The answer of {scheduler.title} is lost.") from error
        self.may_be_submitted = False
        if not scheduler.implements("find") and not isinstance(error, AnswerUnreadableError):
            # A later process could not distinguish it from an incomplete answer
            request.answer.rename(request.refusal)

    def _still_waiting(self, seconds: float) -> None:
        """Report a slow answer; called about every second.

        Raises:
            CommandTimeoutError: Stop waiting.
        """
        title, limit = self.scheduler.title, max(self.scheduler.answer_timeout_s, self.retry_min * 60)
        if seconds > _INTERRUPT_TIMEOUT_S and signal.sigpending() & STOP_SIGNALS:
            raise CommandTimeoutError(f"Interrupted before {title} answered.")
        if seconds > limit:
            raise CommandTimeoutError(f"{title} did not answer within {limit:g} s.")
        if int(seconds) % 60 == 10:
            console.say(f"  {title} has not answered for {seconds:.0f} s; still waiting ...")


def how_to_check(scheduler: Scheduler, request: Request) -> str:
    """Tell users how to check for themselves whether a scheduler without `find` has a request."""
    return (
        f"Whether {scheduler.title} has the request is not known, because {class_name(type(scheduler))} does not "
        f"implement find. Check with '{scheduler.list_command}': if there is a job of {run_ranges(request.runs)}, let "
        f"it run; if not, remove {request.answer}, and 'mlxp resume' submits it."
    )


def find_request(scheduler: Scheduler, request: Request) -> list[str]:
    """Return the ids of the jobs of a request, one for each task; empty if the scheduler does not have the request.

    Raises:
        SchedulerUnavailableError: The scheduler does not answer, or has only a part of the jobs.
    """
    job_ids = scheduler.find(request.script, request.tasks)
    if not job_ids:
        time.sleep(_SEARCH_INTERVAL_S)
        job_ids = scheduler.find(request.script, request.tasks)
    if job_ids and len(job_ids) != (request.tasks or 1):
        raise SchedulerUnavailableError(
            f"{scheduler.title} has {len(job_ids)} of the {request.tasks} jobs of {request.script}. Check them with "
            f"'{scheduler.list_command}', and cancel them with '{scheduler.cancel_command}' to launch them again."
        )
    return job_ids


def _retrying(retry_min: float, *retryable: type[Exception]) -> tenacity.Retrying:
    """Return a function that calls another one until it succeeds, with growing pauses and a message before each retry.

    Args:
        retry_min: Maximum time for retries, in minutes; then the last error is raised.
        retryable: Errors after which the function is called again.
    """
    import tenacity

    def report(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        assert state.next_action is not None
        reason = str(state.outcome.exception())
        console.say(f"{reason}\n  Trying again in {state.next_action.sleep:.0f} s, for at most {retry_min:g} min.")

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(retryable),
        wait=tenacity.wait_exponential(multiplier=2, max=60),
        stop=tenacity.stop_after_delay(retry_min * 60),
        before_sleep=report,
        reraise=True,
    )
