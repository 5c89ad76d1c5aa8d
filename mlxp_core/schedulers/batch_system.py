"""Calls of a batch system's own commands: submit a script, find jobs, query their states, cancel them."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from abc import ABC
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from mlxp_core.commands import Answer, run_command, run_recorded
from mlxp_core.errors import (
    AnswerUnreadableError,
    CommandError,
    CommandNotFoundError,
    CommandTimeoutError,
    OptionError,
    SchedulerUnavailableError,
    SubmissionDeferredError,
    SubmissionError,
    SubmissionUnknownError,
)
from mlxp_core.schedulers.class_errors import class_errors_reported, class_name, file_of
from mlxp_core.schedulers.job_state import JobState


class BatchSystem(ABC):
    """The half of `Scheduler` that runs commands; the attributes are described there."""

    title: ClassVar[str]
    submit_command: ClassVar[tuple[str, ...]]
    job_id_pattern: ClassVar[str]
    list_command: ClassVar[str]
    cancel_command: ClassVar[str]
    job_env_prefixes: ClassVar[tuple[str, ...]] = ()
    preserved_env: ClassVar[tuple[str, ...]] = ()
    ambiguous_pattern: ClassVar[str] = r"(?!)"
    retryable_pattern: ClassVar[str] = r"(?!)"
    # In seconds; SLURM's commands give up after about 10 s, OAR's wait for its database without a limit
    answer_timeout_s: ClassVar[float] = 60

    @classmethod
    def implements(cls, *methods: str) -> bool:
        """Whether this class implements one of these optional methods."""
        return any(getattr(cls, method) is not getattr(BatchSystem, method) for method in methods)

    def check_installed(self) -> None:
        """Check that this machine has the submission command.

        Raises:
            CommandNotFoundError: It does not.
        """
        if shutil.which(self.submit_command[0]) is None:
            raise CommandNotFoundError(
                f"The command '{self.submit_command[0]}' is not on this machine, so no job can be submitted to "
                f"{self.title}: log in to a machine of the cluster, or use hydra/launcher=local."
            )

    def script_argument(self, script: Path) -> str:
        """The script as the submission command wants it named."""
        return str(script)

    def dependency_arguments(self, job_ids: Sequence[str]) -> list[str]:
        """Arguments of the submission command that let a job wait until others are over."""
        raise NotImplementedError(f"{type(self).__name__} has no method dependency_arguments")

    def submission_environment(self) -> dict[str, str]:
        """The environment of the submission command: this process's, without what belongs to a job around it."""
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(self.job_env_prefixes) or name in self.preserved_env
        }

    def parse_job_ids(self, output: str, tasks: int | None) -> list[str]:
        """The job ids in the output of the submission command, in the order of the tasks; none where it names none.

        Args:
            output: what the command printed.
            tasks: how many tasks the array has; None for a single job.
        """
        found = [job_id for job_id in re.findall(self.job_id_pattern, output, re.MULTILINE) if job_id]
        return found[:1] if tasks is None else found

    def job_ids(self, output: str, tasks: int | None) -> list[str]:
        """Return the job ids that `parse_job_ids` finds.

        Raises:
            OptionError: The method fails, or returns something else.
        """
        with class_errors_reported(type(self)):
            found = self.parse_job_ids(output, tasks)
        if not isinstance(found, list) or not all(isinstance(job_id, str) and job_id for job_id in found):
            raise OptionError(f"{class_name(type(self))}.parse_job_ids must return a list of job ids, got {found!r}.")
        return found

    def submit(
        self,
        script: Path,
        tasks: int | None,
        *,
        answer: Path,
        keep_open: Sequence[int] = (),
        after: Sequence[str] = (),
        still_waiting: Callable[[float], None] = lambda seconds: None,
    ) -> tuple[list[str], Answer]:
        """Submit a script; return the job ids, one for each task, and the scheduler's answer.

        Args:
            script: File of the script.
            tasks: Number of tasks of its array; None for a single job.
            answer: File for the answer of the submission command, which survives the death of this process.
            keep_open: File descriptors that the submission command inherits.
            after: Ids of jobs that must end before this one starts.
            still_waiting: Callback that gets the elapsed seconds about every second until the command has answered; it
                ends the wait by raising CommandTimeoutError.

        Raises:
            SubmissionDeferredError: The scheduler refused the request, and may accept it later.
            SubmissionError: The scheduler refused the request; the message contains its answer.
            AnswerUnreadableError: The scheduler seems to have accepted the request, but this class does not find the
                job ids in the answer.
            SubmissionUnknownError: The scheduler did not answer, and may have accepted the request or still accept it.
            CommandError: The submission command cannot be started.
        """
        with class_errors_reported(type(self)):
            argv = [
                *self.submit_command,
                *(self.dependency_arguments(after) if after else []),
                self.script_argument(script),
            ]
            environment = self.submission_environment()
        if not all(isinstance(word, str) for word in argv):
            raise OptionError(f"{class_name(type(self))} must return the words of a command as strings, got {argv!r}.")
        try:
            reply = run_recorded(argv, env=environment, answer=answer, keep_open=keep_open, still_waiting=still_waiting)
        except CommandTimeoutError as error:
            raise self._unknown(str(error)) from None
        try:
            job_ids = self.job_ids(reply.stdout, tasks)
        except OptionError as error:
            raise self._unreadable(str(error), reply) from error
        if len(job_ids) == (tasks or 1):
            return job_ids, reply
        if reply.exit_status < 0 or re.search(self.ambiguous_pattern, reply.text):
            raise self._unknown(reply.text or f"'{self.submit_command[0]}' was killed.")
        if job_ids or reply.exit_status == 0:
            found = f"finds {len(job_ids)} of {tasks or 1} job ids with its job_id_pattern {self.job_id_pattern!r}"
            raise self._unreadable(f"The scheduler class {class_name(type(self))} {found}.", reply)
        kind = SubmissionDeferredError if re.search(self.retryable_pattern, reply.text) else SubmissionError
        raise kind(
            f"{self.title} refused the request ('{shlex.join(self.submit_command)}' ended with exit status "
            f"{reply.exit_status}):\n{reply.text}"
        )

    def _unknown(self, reason: str) -> SubmissionUnknownError:
        return SubmissionUnknownError(f"{reason}\n{self.title} may have accepted the request.")

    def _unreadable(self, reason: str, reply: Answer) -> AnswerUnreadableError:
        return AnswerUnreadableError(
            f"{reason} '{shlex.join(self.submit_command)}' ended with exit status {reply.exit_status} and printed:\n"
            f"{reply.text or '(nothing)'}\n"
            f"{self.title} has probably accepted the request, so it is not repeated. Correct the class "
            f"({file_of(type(self))})."
        )

    def find(self, script: Path, tasks: int | None) -> list[str]:
        """The ids of the jobs that run a script, in the order of the tasks; none when the scheduler has none.

        Raises:
            SchedulerUnavailableError: the scheduler does not say.
        """
        raise SchedulerUnavailableError(f"{self.title} cannot be queried for the jobs that run {script}.")

    def states_command(self, job_ids: Sequence[str]) -> list[str]:
        """The one command that asks for the states of jobs; empty for a scheduler that is never asked."""
        return []

    def parse_states(self, output: str) -> dict[str, JobState]:
        """The state of each job in the answer to `states_command`, by the id under which it was submitted."""
        raise NotImplementedError(f"{type(self).__name__} has a states_command, but no parse_states")

    def states(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """The states of jobs, by one query; jobs that the scheduler does not know (any more) are left out.

        Raises:
            SchedulerUnavailableError: the scheduler does not say.
        """
        states = self.parse_states(self._ask(self.states_command(job_ids)))
        if not isinstance(states, dict) or not all(isinstance(state, JobState) for state in states.values()):
            name = f"{class_name(type(self))}.parse_states"
            raise OptionError(f"{name} must return a dict from job ids to JobState, got {states!r}.")
        return states

    def cancel_arguments(self, job_ids: Sequence[str]) -> list[str]:
        """Jobs as `cancel_command` wants them named."""
        return list(job_ids)

    def cancel(self, job_ids: Sequence[str]) -> None:
        """Ask for the end of jobs, by one request; of those that are over already nothing changes.

        Raises:
            SchedulerUnavailableError: the scheduler does not answer, or refuses.
        """
        with class_errors_reported(type(self)):
            argv = [*shlex.split(self.cancel_command), *self.cancel_arguments(job_ids)]
        self._ask(argv)

    def ask_max_array_size(self) -> int | None:
        """How many tasks an array may have at the most; None where there is no limit."""
        return None

    def _ask(self, argv: Sequence[str], silence_pattern: str = r"(?!)") -> str:
        """Return what a command prints; an empty string if its error matches `silence_pattern`, which means "none"."""
        try:
            answer = run_command(argv, timeout_s=self.answer_timeout_s)
        except CommandError as error:
            raise SchedulerUnavailableError(str(error)) from None
        if answer.exit_status != 0 and not re.search(silence_pattern, answer.text):
            raise SchedulerUnavailableError(
                f"{self.title} did not answer ('{argv[0]}' ended with exit status {answer.exit_status}): {answer.text}"
            )
        return answer.stdout if answer.exit_status == 0 else ""
