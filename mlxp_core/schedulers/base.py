"""What every scheduler does the same way, and the questions that each answers for itself."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from abc import ABC, abstractmethod
from typing import ClassVar

from mlxp_core.commands import Answer, run_command
from mlxp_core.errors import (
    CommandNotFoundError,
    CommandTimeoutError,
    OptionError,
    SubmissionError,
    SubmissionUnknownError,
)
from mlxp_core.job_script import Job, job_script
from mlxp_core.options import BatchOptions, lines_of


class Scheduler(ABC):
    """A batch system: how a job is described to it, handed over and named.

    A subclass sets the class attributes and answers `directives`; all that acts is here.

    Attributes:
        title: what users call it.
        directive_prefix: what a directive's line begins with, e.g. `#SBATCH`.
        submit_command: the program, and its arguments before the script, that takes a script.
        job_id_pattern: a regular expression with one group, the job id, searched in the program's output.
        job_id_variable: the environment variable in which a job finds its own id.
        list_command: what a user types to see the jobs.
        own_variables: prefixes of the environment variables that the scheduler sets in a job; a job that is submitted
            from inside another one must not inherit them. `kept_variables` are those that it needs all the same.
        unknown_pattern: a regular expression for answers after which the job may have been taken all the same.
        inherits_environment: whether a job sees the environment of the submission command.
    """

    title: ClassVar[str]
    directive_prefix: ClassVar[str]
    submit_command: ClassVar[tuple[str, ...]]
    job_id_pattern: ClassVar[str]
    job_id_variable: ClassVar[str]
    list_command: ClassVar[str]
    own_variables: ClassVar[tuple[str, ...]] = ()
    kept_variables: ClassVar[tuple[str, ...]] = ()
    unknown_pattern: ClassVar[str] = r"(?!)"
    inherits_environment: ClassVar[bool] = True
    # seconds; SLURM gives up by itself after about 10 s, OAR waits for its database for ever
    answer_timeout_s: ClassVar[float] = 60

    def __init__(self, options: BatchOptions) -> None:
        self.options = options

    # ---- questions, answered without acting -------------------------------------------------------------------------

    @abstractmethod
    def directives(self, job: Job) -> list[str]:
        """The directives of a job, without prefix: name, output files, and the resources that the options ask for."""

    def check(self, job: Job) -> None:
        """Refuse, before anything is written, a job that this scheduler cannot take.

        Raises:
            OptionError: with what to change.
        """
        if "\n" in str(job.run.path):
            raise OptionError(
                f"{self.title} cannot take a run directory with a line break in its path: {str(job.run.path)!r}. "
                "Choose another one (hydra.sweep.dir and hydra.sweep.subdir)."
            )
        for directive in self.all_directives(job):
            if "\n" in directive:
                raise OptionError(f"A directive cannot hold a line break: {directive!r}. Remove it from the option.")
            if directive.startswith("#"):
                raise OptionError(
                    f"hydra.launcher.option_cmd takes directives without {self.directive_prefix}: write "
                    f"{directive.removeprefix(self.directive_prefix).strip()!r}."
                )

    def setup_lines(self, job: Job) -> list[str]:
        """Shell lines that this scheduler needs first in the script."""
        return []

    def command_prefix(self) -> list[str]:
        """Shell words before the command, for a scheduler that starts a job's tasks by a program of its own."""
        return []

    def extra_overrides(self) -> list[str]:
        """Shell words behind the command's overrides."""
        return []

    def all_directives(self, job: Job) -> list[str]:
        """The directives of a job and, last, those of the user's `option_cmd`, without prefix."""
        return [*self.directives(job), *lines_of("option_cmd", self.options.option_cmd)]

    def script(self, job: Job) -> str:
        """The text of a job's script."""
        return job_script(
            job,
            self.options,
            directives=[f"{self.directive_prefix} {directive}" for directive in self.all_directives(job)],
            setup=self.setup_lines(job),
            prefix=self.command_prefix(),
            inherits_environment=self.inherits_environment,
            more_overrides=[f'"hydra.job.id=${{{self.job_id_variable}:-by-hand}}"', *self.extra_overrides()],
        )

    def parse_job_id(self, output: str) -> str | None:
        """The job id in the output of the submission command; None when there is none."""
        found = re.search(self.job_id_pattern, output, re.MULTILINE)
        return found[1] if found else None

    def script_argument(self, job: Job) -> str:
        """The script as the submission command wants it named."""
        return str(job.run.script)

    # ---- acting -----------------------------------------------------------------------------------------------------

    def check_installed(self) -> None:
        """Make sure that jobs can be submitted from this machine.

        Raises:
            CommandNotFoundError: they cannot.
        """
        if shutil.which(self.submit_command[0]) is None:
            raise CommandNotFoundError(
                f"The command '{self.submit_command[0]}' is not on this machine, so nothing can be submitted to "
                f"{self.title}: log in to a machine of the cluster, or use hydra/launcher=local."
            )

    def submit(self, job: Job) -> tuple[str, Answer]:
        """Hand the script of a job over; return the job id and the scheduler's whole answer.

        Raises:
            SubmissionError: the scheduler refused; its own words are in the message.
            SubmissionUnknownError: it did not answer, and may take the job later.
        """
        argv = [*self.submit_command, self.script_argument(job)]
        try:
            answer = run_command(argv, env=self.submission_environment(job), timeout_s=self.answer_timeout_s)
        except CommandTimeoutError as error:
            raise self._unknown(str(error)) from None
        job_id = self.parse_job_id(answer.stdout)
        if job_id is None:
            if re.search(self.unknown_pattern, answer.text):
                raise self._unknown(answer.text)
            raise SubmissionError(
                f"{self.title} refused the run in {job.run.path} ('{shlex.join(self.submit_command)}' ended with exit "
                f"status {answer.exit_status}):\n{answer.text}"
            )
        return job_id, answer

    def _unknown(self, reason: str) -> SubmissionUnknownError:
        return SubmissionUnknownError(
            f"{reason} {self.title} may still take the job: before you launch it again, look with "
            f"'{self.list_command}' whether it has."
        )

    def submission_environment(self, job: Job) -> dict[str, str]:
        """The environment of the submission command: this process's, without what belongs to a job around it."""
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(self.own_variables) or name in self.kept_variables
        }


def last_bytes(text: str, limit: int) -> str:
    """The end of a text that is not longer than `limit` bytes; schedulers count bytes."""
    return text.encode()[-limit:].decode(errors="ignore")
