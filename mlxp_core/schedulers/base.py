"""The base class of schedulers, which users subclass: it describes jobs in directives and scripts."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

from mlxp_core.config.options import BatchOptions, lines_of
from mlxp_core.errors import OptionError
from mlxp_core.jobs.array_script import Array, array_script
from mlxp_core.jobs.script import Job, job_script
from mlxp_core.schedulers.batch_system import BatchSystem
from mlxp_core.schedulers.class_errors import class_name
from mlxp_core.schedulers.requeue import Requeue, check_requeue


class Scheduler(BatchSystem):
    """A batch system: how a job is described to it, handed over and named.

    A subclass sets the first seven attributes and answers `directives`; the rest has a meaning when it is left out.
    What it is asked is called by us, and each answer is checked; all that acts is in `BatchSystem`.

    Attributes that each class sets:
        title: what users call it: PBS.
        directive_prefix: what a directive's line begins with: `#PBS`.
        submit_command: the program that takes a script, and its arguments before the script: `("qsub",)`.
        job_id_pattern: a regular expression with one group, the job id, searched in what that program says. It must
            match no refusal: begin it with ^, and end it with $.
        job_id_variable: the environment variable in which a job finds its own id: `PBS_JOBID`.
        list_command: what a user types to see the jobs: `qstat`.
        cancel_command: what a user types, before job ids, to end jobs: `qdel`.

    Method that each class has:
        directives(job): the lines of the script's head, without prefix: the job's name, and what `self.options` ask
            for. The output belongs into the files `job.run.stdout` and `job.run.stderr`.

    Attributes that a class may set:
        inherits_environment: whether a job sees the environment of the submission command (default: True).
        job_env_prefixes: prefixes of the environment variables that the scheduler sets in a job. They are removed when
            a job is submitted from inside another one, except those in `preserved_env`.
        ambiguous_pattern: a regular expression for errors after which the job may have been taken all the same.
        retryable_pattern: a regular expression for refusals that pass: the same request may be taken later.
        answer_timeout_s: how long the scheduler may take for an answer, in seconds (default: 60).
        options_class: what `hydra.launcher` may hold: a dataclass that extends `BatchOptions`.

    To take a sweep as one request:
        task_id_expression: the shell word by which a task of an array knows its number, from 0: `"$PBS_ARRAY_INDEX"`.
            Without it each run is submitted on its own.
        array_directives(array): as `directives`, for all tasks.
        array_setup_lines(array): shell lines that send a task's output to its own files, where directives cannot.
        parse_job_ids(output, tasks): the ids of all tasks, where the scheduler names only the array.
        uses_param_file: whether the number comes from a line of the file `Array.params`.
        dependency_arguments(job_ids): arguments that let one request wait for others, for `array_parallelism`.

    To be waited for, by `hydra.launcher.wait=true` or a sweeper that needs results:
        states_command(job_ids): the one command that tells the states of these jobs; its exit status is 0 also when
            some of them have ended.
        parse_states(output): a `JobState` for each job id in its answer; jobs that it does not name are over.

    To start jobs again that their time limit would end, by `hydra.launcher.max_requeues`:
        requeue(): how that is asked for from inside the job; the class writes the directives that its signal needs.

    To go on by itself when an answer is lost:
        find(script, tasks): the ids of the jobs that run a script; none, or one for each task.

    Further methods, each described below: check, check_script, setup_lines, command_prefix, extra_overrides,
    script_argument, submission_environment, ask_max_array_size.
    """

    # Where users import it from, and how messages show it
    __module__ = "mlxp_core.schedulers"

    options_class: ClassVar[type[BatchOptions]] = BatchOptions
    directive_prefix: ClassVar[str]
    job_id_variable: ClassVar[str]
    task_id_expression: ClassVar[str] = ""
    uses_param_file: ClassVar[bool] = False
    inherits_environment: ClassVar[bool] = True

    def __init__(self, options: BatchOptions) -> None:
        self.options = options
        if options.max_requeues:
            check_requeue(self.title, self.requeue(), options)

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
                raise OptionError(
                    f"A directive must not contain a line break, got {directive!r}. Remove it from the option."
                )
            if directive.startswith("#"):
                raise OptionError(
                    f"hydra.launcher.option_cmd must contain directives without {self.directive_prefix}: write "
                    f"{directive.removeprefix(self.directive_prefix).strip()!r}."
                )

    def check_script(self, script: Path) -> None:
        """Refuse a script that cannot be submitted from its place.

        Raises:
            OptionError: with what to change.
        """
        if "\n" in str(script):
            raise OptionError(
                f"{self.title} rejects a script with a line break in its path: {str(script)!r}. Choose another run "
                "directory (hydra.sweep.dir and hydra.sweep.subdir)."
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
    def _requeue_options(self) -> str:
        """The options of the requeue wrapper in the scripts of jobs that can be requeued; else empty."""
        requeue = self.requeue() if self.options.max_requeues else None
        return requeue.words(self.options) if requeue else ""

    @property
    def own_job_id(self) -> str:
        """What a shell in a job makes the job's id, and `by-hand` outside one."""
        return f"${{{self.job_id_variable}:-by-hand}}"

    def all_directives(self, job: Job) -> list[str]:
        """Return the directives of a job without prefix; those of the option `option_cmd` come last."""
        return [*self._own("directives", self.directives(job)), *lines_of("option_cmd", self.options.option_cmd)]

    def _own(self, method: str, directives: list[str]) -> list[str]:
        """Check and return the directives that a method of this class returned."""
        is_list = isinstance(directives, list) and all(isinstance(line, str) for line in directives)
        if not is_list or any(line.startswith("#") for line in directives):
            raise OptionError(
                f"{class_name(type(self))}.{method} must return a list of directives without {self.directive_prefix}, "
                f"got {directives!r}."
            )
        return directives

    def array_directives(self, array: Array) -> list[str]:
        """The directives of an array, without prefix; asked of schedulers that have an `task_id_expression`."""
        raise NotImplementedError(f"{type(self).__name__} has a task_id_expression, but no array_directives")

    def array_setup_lines(self, array: Array) -> list[str]:
        """Shell lines that this scheduler needs first in the script of an array."""
        return []

    def script(self, job: Job) -> str:
        """Return the text of a job's script."""
        return job_script(
            job,
            self.options,
            directives=[f"{self.directive_prefix} {directive}" for directive in self.all_directives(job)],
            setup=self.setup_lines(job),
            prefix=self.command_prefix(),
            inherits_environment=self.inherits_environment,
            requeue_options=self._requeue_options,
            more_overrides=[f"\"hydra.job.id='{self.own_job_id}'\"", *self.extra_overrides()],
        )

    def array_script(self, array: Array) -> str:
        """Return the text of an array's script."""
        own = self._own("array_directives", self.array_directives(array))
        own = [*own, *lines_of("option_cmd", self.options.option_cmd)]
        return array_script(
            array,
            self.options.shell,
            directives=[f"{self.directive_prefix} {directive}" for directive in own],
            index=self.task_id_expression,
            setup=self.array_setup_lines(array),
            requeue_options=self._requeue_options,
        )


def last_bytes(text: str, limit: int) -> str:
    """Return the end of a text, cut to `limit` bytes, which is what schedulers count."""
    return text.encode()[-limit:].decode(errors="ignore")
