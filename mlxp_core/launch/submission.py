"""Handing one request over, persistently: what passes is tried again, and never before it is known not to be there."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
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
from mlxp_core.launch.plan import labels
from mlxp_core.launch.submission_requests import Request
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.class_errors import class_name

if TYPE_CHECKING:
    import tenacity

# A scheduler that was too busy to answer may still be about to read the request: it is asked twice, so far apart
_SETTLE_S = 5
# How long an interrupt waits for the answer to a request; both schedulers give it in a fraction of that
_PATIENCE_S = 5


def submit_with_retries(
    scheduler: Scheduler,
    request: Request,
    *,
    retry_min: float,
    keep_open: Sequence[int],
    after: Sequence[str],
    note: Callable[[list[str]], None],
) -> Answer:
    """Submit a request, again and again while it is refused for reasons that pass.

    Args:
        scheduler: what takes it.
        request: complete on disk.
        retry_min: for how long, in minutes.
        keep_open: file descriptors that the submission command holds open until it has answered.
        after: ids of jobs that must be over before.
        note: writes the job ids down.

    Raises:
        SubmissionDeferredError: it was refused until the end.
        SubmissionError: it was refused for good.
        AnswerUnreadableError: the scheduler took it, as far as one sees, and nobody can read which jobs it made.
        SubmissionUnknownError: nobody can say whether the scheduler has it.
    """
    can_look = scheduler.implements("find")
    limit = max(scheduler.answer_timeout_s, retry_min * 60)
    uncertain = False

    def still_waiting(seconds: float) -> None:
        if seconds > _PATIENCE_S and signal.sigpending() & STOP_SIGNALS:
            raise CommandTimeoutError(f"Interrupted, while {scheduler.title} had not answered.")
        if seconds > limit:
            raise CommandTimeoutError(f"{scheduler.title} did not answer within {limit:g} s.")
        if int(seconds) % 60 == 10:
            console.say(f"  {scheduler.title} has not answered for {seconds:.0f} s; waiting for it ...")

    def attempt() -> Answer:
        nonlocal uncertain
        if uncertain and (job_ids := find_request(scheduler, request)):
            note(job_ids)
            return Answer(scheduler.submit_command, 0, f"{scheduler.title} had taken it: job {job_ids[0]}.", "")
        uncertain = True
        with interrupts_blocked(STOP_SIGNALS):  # so that each request is submitted and noted, or not submitted
            try:
                job_ids, answer = scheduler.submit(
                    request.script,
                    request.tasks,
                    answer=request.answer,
                    keep_open=keep_open,
                    after=after,
                    still_waiting=still_waiting,
                )
            except SubmissionUnknownError:
                raise
            except SubmissionError as error:
                uncertain = not request.answer.stat().st_size
                if uncertain:  # the disk was full, or the command was killed
                    raise SubmissionUnknownError(f"The answer of {scheduler.title} is lost.") from error
                if not can_look and not isinstance(error, AnswerUnreadableError):
                    # A later process could not tell it from an answer that was cut off
                    request.answer.rename(request.refusal)
                raise
            except OSError as error:
                uncertain = False
                raise cannot_write(request.answer, error) from error
            except BaseException:
                uncertain = False
                raise
            uncertain = False  # the interrupt that waits may come now
            note(job_ids)
            return answer

    passing: list[type[Exception]] = [SubmissionDeferredError]
    if can_look:
        passing += [SubmissionUnknownError, SchedulerUnavailableError]
    try:
        return _retrying(retry_min, *passing)(attempt)
    except (SchedulerUnavailableError, SubmissionUnknownError) as error:
        reason = str(error)
    except KeyboardInterrupt:
        if not uncertain:
            raise
        reason = f"Interrupted. {scheduler.title} may have taken the last request all the same."
    raise SubmissionUnknownError(reason if can_look else f"{reason}\n{cannot_look(scheduler, request)}")


def cannot_look(scheduler: Scheduler, request: Request) -> str:
    """What to do about a request that was perhaps submitted to a scheduler that cannot be asked."""
    return (
        f"{scheduler.title} cannot be asked, because {class_name(type(scheduler))} has no method find. Look with "
        f"'{scheduler.list_command}': if it has a job of {labels(request.runs)}, let that one run; if not, remove "
        f"{request.answer}, and 'mlxp resume' submits it."
    )


def find_request(scheduler: Scheduler, request: Request) -> list[str]:
    """The ids of the jobs that a request made, one for each task; none when the scheduler does not have it.

    Raises:
        SchedulerUnavailableError: the scheduler does not say.
    """
    job_ids = scheduler.find(request.script, request.tasks)
    if not job_ids:
        time.sleep(_SETTLE_S)
        job_ids = scheduler.find(request.script, request.tasks)
    if job_ids and len(job_ids) != (request.tasks or 1):
        raise SchedulerUnavailableError(
            f"{scheduler.title} has {len(job_ids)} of the {request.tasks} jobs of {request.script}: look with "
            f"'{scheduler.list_command}', and end them with '{scheduler.cancel_command}' to launch them again."
        )
    return job_ids


def _retrying(retry_min: float, *passing: type[Exception]) -> tenacity.Retrying:
    """Calls a function again, with growing pauses and a message, while it raises an error that passes.

    Args:
        retry_min: for how long, in minutes; then the error is raised.
        passing: such errors.
    """
    import tenacity

    def say(state: tenacity.RetryCallState) -> None:
        assert state.outcome is not None
        assert state.next_action is not None
        reason = str(state.outcome.exception())
        console.say(f"{reason}\n  Trying again in {state.next_action.sleep:.0f} s, for {retry_min:g} min at most.")

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(passing),
        wait=tenacity.wait_exponential(multiplier=2, max=60),
        stop=tenacity.stop_after_delay(retry_min * 60),
        before_sleep=say,
        reraise=True,
    )
