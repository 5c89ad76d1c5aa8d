"""Calls of a batch system's own commands: submit a script, and find its jobs."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from mlxp_core.commands import Answer, run_recorded
from mlxp_core.errors import (
    AnswerUnreadableError,
    CommandNotFoundError,
    CommandTimeoutError,
    OptionError,
    SchedulerUnavailableError,
    SubmissionDeferredError,
    SubmissionError,
    SubmissionUnknownError,
)
from mlxp_core.schedulers.class_errors import class_errors_reported, class_name, file_of
from mlxp_core.schedulers.job_control import JobControl


class BatchSystem(JobControl):
    """The part of a `Scheduler` that submits jobs and finds them; see `Scheduler` for the attributes."""

    submit_command: ClassVar[tuple[str, ...]]
    job_id_pattern: ClassVar[str]
    job_env_prefixes: ClassVar[tuple[str, ...]] = ()
    preserved_env: ClassVar[tuple[str, ...]] = ()
    ambiguous_pattern: ClassVar[str] = r"(?!)"
    retryable_pattern: ClassVar[str] = r"(?!)"

    @classmethod
    def implements(cls, *methods: str) -> bool:
        """Return whether this class defines one of these optional methods itself."""
        return any(getattr(cls, method) is not getattr(BatchSystem, method) for method in methods)

    def check_installed(self) -> None:
        """Check that jobs can be submitted from this machine.

        Raises:
            CommandNotFoundError: The submission program is not installed here.
        """
        if shutil.which(self.submit_command[0]) is None:
            raise CommandNotFoundError(
                f"The command '{self.submit_command[0]}' is not on this machine, so no job can be submitted to "
                f"{self.title}: log in to a machine of the cluster, or use hydra/launcher=local."
            )

    def script_argument(self, script: Path) -> str:
        """Return the script as `submit_command` expects it, by default its path."""
        return str(script)

    def dependency_arguments(self, job_ids: Sequence[str]) -> list[str]:
        """Return arguments of `submit_command` that make a job wait until other jobs have ended, however they ended."""
        raise NotImplementedError(f"{type(self).__name__} has no method dependency_arguments")

    def submission_environment(self) -> dict[str, str]:
        """Return the environment of the submission command.

        By default it is the environment of this process without the variables of a job around it (`job_env_prefixes`).
        """
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(self.job_env_prefixes) or name in self.preserved_env
        }

    def parse_job_ids(self, output: str, tasks: int | None) -> list[str]:
        """Return the job ids in the output of `submit_command`, in the order of the tasks; none if there are none.

        By default these are all matches of `job_id_pattern`, one id per task.

        Args:
            output: What the command printed on stdout.
            tasks: Number of tasks of the array; None for a single job.
        """
        found = [job_id for job_id in re.findall(self.job_id_pattern, output, re.MULTILINE) if job_id]
        return found[:1] if tasks is None else found

    def job_ids(self, output: str, tasks: int | None) -> list[str]:
        """Return the checked result of `parse_job_ids`.

        Raises:
            OptionError: The class returns something else, or fails.
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
        """Submit a script; return the job ids, one per task, and the scheduler's whole answer.

        Args:
            script: Path of the script.
            tasks: Number of tasks of its array; None for a single job.
            answer: File to which the command writes its answer, so that the answer outlives this process.
            keep_open: File descriptors that the command holds open until it has answered.
            after: Ids of jobs that must have ended first.
            still_waiting: Function that is called with the elapsed seconds, repeatedly until the command has answered.
                It raises CommandTimeoutError to stop waiting.

        Raises:
            SubmissionDeferredError: The scheduler cannot accept it now.
            SubmissionError: The scheduler refused it; the message quotes its answer.
            AnswerUnreadableError: It was probably accepted, but this class finds no job ids in the answer.
            SubmissionUnknownError: There was no answer; the scheduler may have accepted it, or may do so later.
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
        """Return the ids of the jobs that run a script, in the order of the tasks; an empty list if there are none.

        Args:
            script: Path that was submitted: absolute, and different for each request. For an array it is the script of
                the whole array.
            tasks: Number of tasks; None for a single job.

        Raises:
            SchedulerUnavailableError: The scheduler did not answer, so it is not known whether it has the jobs.
        """
        raise SchedulerUnavailableError(f"{self.title} cannot be queried for the jobs that run {script}.")

    def ask_max_array_size(self) -> int | None:
        """Return the largest number of tasks that one array may have; None for no limit."""
        return None
