"""What every scheduler does the same way, and the questions that each answers for itself."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from mlxp_core.array_script import Array, array_script
from mlxp_core.commands import Answer, run_command, run_recorded
from mlxp_core.errors import (
    CommandError,
    CommandNotFoundError,
    CommandTimeoutError,
    OptionError,
    SchedulerUnavailableError,
    SubmissionDeferredError,
    SubmissionError,
    SubmissionUnknownError,
)
from mlxp_core.job_script import Job, job_script
from mlxp_core.job_state import JobState
from mlxp_core.options import BatchOptions, lines_of
from mlxp_core.requeue import Requeue, check_requeue


class Scheduler(ABC):
    """A batch system: how a job is described to it, handed over and named.

    A subclass sets the class attributes and answers `directives`; all that acts is here.

    Attributes:
        options_class: what `hydra.launcher` may hold.
        title: what users call it.
        directive_prefix: what a directive's line begins with, e.g. `#SBATCH`.
        submit_command: the program, and its arguments before the script, that takes a script.
        job_id_pattern: a regular expression with one group, the job id, searched in the program's output.
        job_id_variable: the environment variable in which a job finds its own id.
        array_index: the shell word by which a task of an array knows its number, from 0; empty for a scheduler that
            takes each run on its own.
        reads_params: whether that number comes from a line of the file `Array.params`.
        list_command: what a user types to see the jobs.
        cancel_command: what a user types, before job ids, to end jobs.
        own_variables: prefixes of the environment variables that the scheduler sets in a job; a job that is submitted
            from inside another one must not inherit them. `kept_variables` are those that it needs all the same.
        unknown_pattern: a regular expression for answers after which the job may have been taken all the same.
        passing_pattern: a regular expression for refusals that pass: the same request may be taken later.
        inherits_environment: whether a job sees the environment of the submission command.
    """

    options_class: ClassVar[type[BatchOptions]] = BatchOptions
    title: ClassVar[str]
    directive_prefix: ClassVar[str]
    submit_command: ClassVar[tuple[str, ...]]
    job_id_pattern: ClassVar[str]
    job_id_variable: ClassVar[str]
    list_command: ClassVar[str]
    cancel_command: ClassVar[str]
    array_index: ClassVar[str] = ""
    reads_params: ClassVar[bool] = False
    own_variables: ClassVar[tuple[str, ...]] = ()
    kept_variables: ClassVar[tuple[str, ...]] = ()
    unknown_pattern: ClassVar[str] = r"(?!)"
    passing_pattern: ClassVar[str] = r"(?!)"
    inherits_environment: ClassVar[bool] = True
    # seconds; SLURM gives up by itself after about 10 s, OAR waits for its database for ever
    answer_timeout_s: ClassVar[float] = 60

    def __init__(self, options: BatchOptions) -> None:
        self.options = options
        if options.max_requeues:
            check_requeue(self.title, self.requeue(), options)

    # ---- questions, answered without acting -------------------------------------------------------------------------

    @abstractmethod
    def directives(self, job: Job) -> list[str]:
        """The directives of a job, without prefix: name, output files, and the resources that the options ask for."""

    def check(self, job: Job) -> None:
        """Refuse, before anything is written, a job that this scheduler cannot take.

        Raises:
            OptionError: with what to change.
        """
        self.check_script(job.run.script)
        for directive in self.all_directives(job):
            if "\n" in directive:
                raise OptionError(f"A directive cannot hold a line break: {directive!r}. Remove it from the option.")
            if directive.startswith("#"):
                raise OptionError(
                    f"hydra.launcher.option_cmd takes directives without {self.directive_prefix}: write "
                    f"{directive.removeprefix(self.directive_prefix).strip()!r}."
                )

    def check_script(self, script: Path) -> None:
        """Refuse a script that cannot be submitted from its place.

        Raises:
            OptionError: with what to change.
        """
        if "\n" in str(script):
            raise OptionError(
                f"{self.title} cannot take a script with a line break in its path: {str(script)!r}. Choose another "
                "run directory (hydra.sweep.dir and hydra.sweep.subdir)."
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

    def requeue(self) -> Requeue | None:
        """How a job asks to be started again; None for a scheduler that cannot do that.

        One that can also writes, where `max_requeues` is set, the directives by which its jobs may start again and are
        sent `requeue_signal` so many seconds (`requeue_signal_s`) before their time is over.
        """
        return None

    @property
    def _attempt(self) -> str:
        """What the scripts of jobs that may start again say of it."""
        requeue = self.requeue() if self.options.max_requeues else None
        return requeue.words(self.options) if requeue else ""

    @property
    def own_job_id(self) -> str:
        """What a shell in a job makes the job's id, and `by-hand` outside one."""
        return f"${{{self.job_id_variable}:-by-hand}}"

    def all_directives(self, job: Job) -> list[str]:
        """The directives of a job and, last, those of the user's `option_cmd`, without prefix."""
        return [*self.directives(job), *lines_of("option_cmd", self.options.option_cmd)]

    def array_directives(self, array: Array) -> list[str]:
        """The directives of an array, without prefix; asked of schedulers that have an `array_index`."""
        raise NotImplementedError(f"{type(self).__name__} has an array_index, but no array_directives")

    def array_setup_lines(self, array: Array) -> list[str]:
        """Shell lines that this scheduler needs first in the script of an array."""
        return []

    def script(self, job: Job) -> str:
        """The text of a job's script."""
        return job_script(
            job,
            self.options,
            directives=[f"{self.directive_prefix} {directive}" for directive in self.all_directives(job)],
            setup=self.setup_lines(job),
            prefix=self.command_prefix(),
            inherits_environment=self.inherits_environment,
            attempt=self._attempt,
            more_overrides=[f"\"hydra.job.id='{self.own_job_id}'\"", *self.extra_overrides()],
        )

    def array_script(self, array: Array) -> str:
        """The text of the script of an array."""
        own = [*self.array_directives(array), *lines_of("option_cmd", self.options.option_cmd)]
        return array_script(
            array,
            self.options.shell_path,
            directives=[f"{self.directive_prefix} {directive}" for directive in own],
            index=self.array_index,
            setup=self.array_setup_lines(array),
            attempt=self._attempt,
        )

    def parse_job_ids(self, output: str, tasks: int | None) -> list[str]:
        """The job ids in the output of the submission command, in the order of the tasks; none when it was refused.

        Args:
            output: what the command printed.
            tasks: how many tasks the array has; None for a single job.
        """
        return re.findall(self.job_id_pattern, output, re.MULTILINE)

    def script_argument(self, script: Path) -> str:
        """The script as the submission command wants it named."""
        return str(script)

    def after_arguments(self, job_ids: Sequence[str]) -> list[str]:
        """Arguments of the submission command that let a job wait until others are over."""
        raise NotImplementedError(f"{type(self).__name__} cannot let a job wait for others")

    def states_command(self, job_ids: Sequence[str]) -> list[str]:
        """The one command that asks for the states of jobs; empty for a scheduler that is never asked."""
        return []

    def parse_states(self, output: str) -> dict[str, JobState]:
        """The state of each job in the answer to `states_command`, by the id under which it was submitted."""
        raise NotImplementedError(f"{type(self).__name__} has a states_command, but no parse_states")

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

    def ask_max_array_size(self) -> int | None:
        """How many tasks an array may have at the most; None where there is no limit.

        Raises:
            SchedulerUnavailableError: the scheduler does not say.
        """
        return None

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
        """Hand a script over; return the job ids, one for each task, and the scheduler's whole answer.

        Args:
            script: the file.
            tasks: how many tasks its array has; None for a single job.
            answer: the file to which the command writes its answer, so that it outlives this process.
            keep_open: file descriptors that the command holds open until it has answered.
            after: ids of jobs that must be over before.
            still_waiting: called with the seconds that have passed, again and again until the command has answered; it
                gives up by raising CommandTimeoutError.

        Raises:
            SubmissionDeferredError: the scheduler cannot take it now.
            SubmissionError: it refused; its own words are in the message.
            SubmissionUnknownError: it did not answer, and may have taken it, or take it later.
        """
        argv = [*self.submit_command, *(self.after_arguments(after) if after else []), self.script_argument(script)]
        environment = self.submission_environment()
        try:
            said = run_recorded(argv, env=environment, answer=answer, keep_open=keep_open, still_waiting=still_waiting)
        except CommandTimeoutError as error:
            raise self._unknown(str(error)) from None
        if job_ids := self.parse_job_ids(said.stdout, tasks):
            return job_ids, said
        if re.search(self.unknown_pattern, said.text):
            raise self._unknown(said.text)
        kind = SubmissionDeferredError if re.search(self.passing_pattern, said.text) else SubmissionError
        raise kind(
            f"{self.title} refused ('{shlex.join(self.submit_command)}' ended with exit status {said.exit_status}):\n"
            f"{said.text}"
        )

    def _unknown(self, reason: str) -> SubmissionUnknownError:
        return SubmissionUnknownError(f"{reason}\n{self.title} may have taken the request all the same.")

    def find(self, script: Path, tasks: int | None) -> list[str]:
        """The ids of the jobs that run a script, in the order of the tasks; none when the scheduler has none.

        Raises:
            SchedulerUnavailableError: the scheduler does not say.
        """
        raise SchedulerUnavailableError(f"{self.title} cannot be asked which jobs run {script}.")

    def states(self, job_ids: Sequence[str]) -> dict[str, JobState]:
        """The states of jobs, by one query; jobs that the scheduler does not know (any more) are left out.

        Raises:
            SchedulerUnavailableError: the scheduler does not say.
        """
        return self.parse_states(self._ask(self.states_command(job_ids)))

    def _ask(self, argv: Sequence[str], silence_pattern: str = r"(?!)") -> str:
        """What a command prints; nothing when its error is one that means "none"."""
        try:
            answer = run_command(argv, timeout_s=self.answer_timeout_s)
        except CommandError as error:
            raise SchedulerUnavailableError(str(error)) from None
        if answer.exit_status != 0 and not re.search(silence_pattern, answer.text):
            raise SchedulerUnavailableError(
                f"{self.title} does not answer ('{argv[0]}' ended with exit status {answer.exit_status}): {answer.text}"
            )
        return answer.stdout if answer.exit_status == 0 else ""

    def submission_environment(self) -> dict[str, str]:
        """The environment of the submission command: this process's, without what belongs to a job around it."""
        return {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(self.own_variables) or name in self.kept_variables
        }


def last_bytes(text: str, limit: int) -> str:
    """The end of a text that is not longer than `limit` bytes; schedulers count bytes."""
    return text.encode()[-limit:].decode(errors="ignore")
