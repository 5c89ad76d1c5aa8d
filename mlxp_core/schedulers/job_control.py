"""Calls of a batch system's own commands about jobs that it has: query their states, cancel them."""

from __future__ import annotations

import re
import shlex
import time
from abc import ABC
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar

from mlxp_core.commands import Answer, run_command
from mlxp_core.errors import CommandError, MlxpError, OptionError, SchedulerUnavailableError
from mlxp_core.schedulers.class_errors import class_errors_reported, class_name
from mlxp_core.schedulers.job_state import STATES, JobState

_NEVER = r"(?!)"
# Length of a command and of a line in messages
_LONGEST_QUOTE = 200


class JobControl(ABC):
    """The part of a `Scheduler` that queries and cancels jobs; see `Scheduler` for the attributes."""

    title: ClassVar[str]
    list_command: ClassVar[str]
    cancel_command: ClassVar[str]
    # In seconds; SLURM's commands give up after about 10 s, OAR's wait for its database without a limit
    answer_timeout_s: ClassVar[float] = 60
    # Time before the second query for jobs that an answer lacks, in seconds
    absence_pause_s: ClassVar[float] = 1

    def states_command(self, job_ids: Sequence[str]) -> list[str]:
        """Return the one command that prints the states of jobs; empty if the scheduler cannot be queried."""
        return []

    def parse_states(self, output: str) -> dict[str, JobState]:
        """Return the state of each job in the output of `states_command`, by the id under which it was submitted."""
        raise NotImplementedError(f"{type(self).__name__} has a states_command, but no parse_states")

    def query_states(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """Return the states of jobs from one answer, by default the one of `states_command`."""
        return self._ask_states(self.states_command(job_ids))

    @property
    def can_query_states(self) -> bool:
        """Whether the class can query the states of jobs."""
        kind = type(self)
        return (kind.states_command, kind.query_states) != (JobControl.states_command, JobControl.query_states)

    def states(self, job_ids: Sequence[str], *, certain: Collection[str] = ()) -> dict[str, JobState]:
        """Return the states of jobs; jobs that the scheduler does not know, in two answers, are left out.

        A scheduler that is starting or busy may leave out a job once, or print an answer that is cut off.

        Args:
            job_ids: Ids with which the jobs were submitted.
            certain: Jobs whose absence changes nothing for the caller; they need no second query.

        Raises:
            SchedulerUnavailableError: The scheduler did not answer, or its answer cannot be read.
            OptionError: The class failed to read two answers.
        """
        try:
            known = self._checked_states(job_ids)
        except OptionError:  # one answer that the class cannot read does not prove an error in the class
            time.sleep(self.absence_pause_s)
            known = self._checked_states(job_ids)
        certainly = {job_id: state for job_id, state in known.items() if not state.is_inferred}
        found = {*certainly, *(state.job_id for state in certainly.values())}
        absent = [job_id for job_id in job_ids if job_id not in found and job_id not in certain]
        if absent:
            time.sleep(self.absence_pause_s)
            known = {job_id: state for job_id, state in known.items() if job_id not in absent}
            known |= self._checked_states(absent)
        return known

    def _checked_states(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """Return the checked result of `query_states`."""
        with class_errors_reported(type(self)):
            states = self.query_states(job_ids)
        method = next((one for one in (self.parse_states, self.query_states) if _is_users(one)), self.parse_states)
        name = f"{class_name(type(self))}.{method.__name__}"
        if not isinstance(states, dict) or not all(isinstance(state, JobState) for state in states.values()):
            raise OptionError(f"{name} must return a dict from job ids to JobState, got {states!r}.")
        # (SLURM may have states that are newer than this package)
        unknown = [job_id for job_id, state in states.items() if state.name not in STATES] if _is_users(method) else []
        if unknown:
            raise OptionError(
                f"{name} returned the state {states[unknown[0]].name!r} for job {unknown[0]}. It must be one of "
                f"{', '.join(sorted(STATES))}."
            )
        return states

    def _ask_states(self, argv: Sequence[str], silence_pattern: str = _NEVER) -> dict[str, JobState]:
        """Return the states in what a command prints; none if its error matches `silence_pattern`."""
        if not argv:
            raise SchedulerUnavailableError(f"{self.title} cannot be queried for job states.")
        output = self._ask(argv, silence_pattern)
        with self._readable(argv, output), class_errors_reported(type(self)):
            return self.parse_states(output)

    @contextmanager
    def _readable(self, argv: Sequence[str], output: str) -> Iterator[None]:
        """Turn an exception while this package reads the output of a command into an error about that output.

        Raises:
            SchedulerUnavailableError: The output cannot be read; the message quotes it.
        """
        try:
            yield
        except MlxpError:
            raise
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            lines = output.strip().splitlines()
            raise SchedulerUnavailableError(
                f"The answer of {self.title} cannot be read ('{_shortened(shlex.join(argv))}' printed "
                f"{_shortened(lines[0]) if lines else 'nothing'!r})."
            ) from error

    def cancel_arguments(self, job_ids: Sequence[str]) -> list[str]:
        """Return the jobs as `cancel_command` expects them, by default their ids."""
        return list(job_ids)

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Cancel jobs by one request; jobs that have ended are not affected.

        Some schedulers refuse a request if one of its jobs has ended: then the others are cancelled by a second one.

        Raises:
            SchedulerUnavailableError: The cancel command did not answer in time, or is not on this machine.
            CommandError: It failed, and jobs are still active; the message quotes its answer.
        """
        answer = self._cancel(job_ids)
        if answer.exit_status == 0:
            return
        left = self._not_ended(job_ids)
        if left and len(left) < len(job_ids):
            answer = self._cancel(left)
            left = self._not_ended(left) if answer.exit_status else []
        if left:
            raise CommandError(
                f"{self.title} did not cancel all jobs ('{answer.argv[0]}' ended with exit status "
                f"{answer.exit_status}): {answer.text}"
            )

    def _cancel(self, job_ids: Sequence[str]) -> Answer:
        with class_errors_reported(type(self)):
            argv = [*shlex.split(self.cancel_command), *self.cancel_arguments(job_ids)]
        return self._run(argv)

    def _not_ended(self, job_ids: Sequence[str]) -> list[str]:
        """Return the jobs that are not known to have ended."""
        if not self.can_query_states:
            return list(job_ids)
        try:
            states = self.states(job_ids)
        except (SchedulerUnavailableError, OptionError):
            return list(job_ids)
        present = {state.job_id: state for state in states.values()} | states
        return [job_id for job_id in job_ids if job_id in present and not present[job_id].is_final]

    def _ask(self, argv: Sequence[str], silence_pattern: str = _NEVER) -> str:
        """Return what a command prints; nothing if its error matches `silence_pattern`."""
        answer = self._run(argv)
        if answer.exit_status != 0 and not re.search(silence_pattern, answer.text):
            raise SchedulerUnavailableError(
                f"{self.title} did not answer ('{argv[0]}' ended with exit status {answer.exit_status}): {answer.text}"
            )
        return answer.stdout if answer.exit_status == 0 else ""

    def _run(self, argv: Sequence[str]) -> Answer:
        try:
            return run_command(argv, timeout_s=self.answer_timeout_s)
        except CommandError as error:
            raise SchedulerUnavailableError(str(error)) from None


def _is_users(method: Callable[..., object]) -> bool:
    """Return whether a method is defined outside this package."""
    return method.__module__.partition(".")[0] != "mlxp_core"


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_QUOTE else f"{text[:_LONGEST_QUOTE]}..."
