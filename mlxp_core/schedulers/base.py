"""The base class of schedulers, which users subclass: it describes jobs in directives and scripts."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
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
    """Base class of the batch systems that can run jobs: SLURMScheduler, OARScheduler and your own classes.

    A subclass sets seven attributes and defines one method, which is enough to submit each run as a job of its own.
    Each further group below adds one ability. A subclass describes and parses; the base class runs the commands and
    checks what the subclass returns. Everything that a subclass needs is imported from one place::

        from mlxp_core.schedulers import (
            Array, BatchOptions, Job, JobState, OptionError, Requeue, Scheduler, SchedulerUnavailableError
        )

    Quoting: directives are plain text for the scheduler; no shell reads them, and the subclass follows the scheduler's
    own rules. `setup_lines`, `array_setup_lines`, `command_prefix`, `extra_overrides`, `task_id_expression` and
    `own_job_id` are put into a shell script as they are; the subclass quotes them (`shlex.quote`). Commands
    (`submit_command`, `dependency_arguments`, `states_command`, ...) are lists of arguments that no shell reads; they
    need no quotes. Only `list_command` and `cancel_command` are strings, because users see them.

    Patterns are Python's regular expressions. They are case-sensitive; begin one with `(?i)` to ignore case.

    Required attributes:
        title: Name that users see, e.g. `PBS`.
        directive_prefix: Beginning of a directive's line, e.g. `#PBS`.
        submit_command: Tuple of the submission program and its arguments before the script, e.g. `("qsub",)`.
        job_id_pattern: Pattern with one group, the job id, searched in each line of what that program prints on
            stdout. Begin it with `^` and end it with `$`, so that it matches no error message.
        job_id_variable: Environment variable in which a job finds its own id, without `$`, e.g. `PBS_JOBID`.
        list_command: Command that shows users their jobs, e.g. `qstat`.
        cancel_command: Command that cancels the jobs whose ids follow it, e.g. `qdel`. If it fails because some of them
            have ended, the class needs `states_command`: then the others are cancelled by a second request.

    Required method:
        directives(job): Lines for the head of the script, without prefix: job name, output files `job.run.stdout` and
            `job.run.stderr`, and the resources that `self.options` asks for.

    Optional attributes and methods:
        setup_lines(job): Shell lines for the beginning of the script, e.g. to redirect the output.
        inherits_environment: Whether a job sees the environment of the submission command. Default: True. If not, the
            variables that the user lists in `hydra.job.env_copy` are written into the script.
        job_env_prefixes: Prefixes of the variables that the scheduler sets inside a job. They are removed from the
            environment of the submission command, for launches from inside a job.
        preserved_env: Variables with such a prefix that are kept.
        retryable_pattern: Pattern for refusals that are temporary: the request is submitted again later.
        ambiguous_pattern: Pattern for errors after which the scheduler may have accepted the job nevertheless.
        answer_timeout_s: Longest time to wait for an answer of the scheduler, in seconds. Default: 60.
        options_class: Options that `hydra.launcher` may hold: a dataclass that extends `BatchOptions`.
        own_job_id: Shell text for the id that a job records in info.yaml. Default: the value of `job_id_variable`. A
            class with `parse_job_ids` for arrays makes it a property that names the task, in the form of those ids.

    To submit a sweep as one request:
        task_id_expression: Shell word for the number of a task inside its job, counted from 0:
            `'"$PBS_ARRAY_INDEX"'`, or `'"$((SGE_TASK_ID - 1))"'` where the scheduler counts from 1. Without it each
            run is submitted on its own.
        array_directives(array): As `directives`, for all tasks; `array.tasks` is their number.
        array_setup_lines(array): Shell lines that send the output of a task to its own files, if directives cannot.
            In them `"$here"` is the directory of the request, and `"$task"` the directory in which the output of the
            task is expected: `'exec >> "$task"/log.stdout 2>> "$task"/log.stderr'`. `"$task"` is a link to the run
            directory. With `runs_per_job` it is a directory of such links, and the script itself redirects the output
            of each run.
        parse_job_ids(output, tasks): Ids of all tasks, in order, if the scheduler prints only the id of the array.
        uses_param_file: Whether the number of a task is passed by the file `array.params`, which holds one number per
            line, as an argument of the script; `task_id_expression` is then `'"$1"'`. Default: False.
        dependency_arguments(job_ids): Arguments of `submit_command` that make a job wait until others have ended.
            `hydra.launcher.array_parallelism` requires it for sweeps that are several requests. The limit within a
            request is a directive of the class, from `array.parallel_tasks` (e.g. `-tc` of Grid Engine).
        ask_max_array_size(): Largest number of tasks of an array. Default: None, no limit.

    To query the states of jobs:
        states_command(job_ids): The one command that prints the states of these jobs. Its exit status must be 0 even
            if some of them have ended. It is needed to wait for runs (`hydra.launcher.wait`, sweepers that need
            results), and by `mlxp ls`, `watch`, `cancel` and `resubmit`, which otherwise know only what the runs
            recorded themselves.
        parse_states(output): Dict of a `JobState` for each job in its output, by the id under which the job was
            submitted. Jobs that are missing from two answers count as ended. The class translates the scheduler's
            names of states to those of SLURM. Final: COMPLETED, FAILED, CANCELLED, TIMEOUT, OUT_OF_MEMORY, NODE_FAIL,
            BOOT_FAIL, DEADLINE, PREEMPTED, REVOKED. Not started: PENDING, CONFIGURING, REQUEUED, REQUEUE_HOLD. Started:
            RUNNING, COMPLETING, SUSPENDED. Other names are refused. For an output that says that the scheduler is busy,
            it raises `SchedulerUnavailableError`.
        query_states(job_ids): Instead of these two, where one command is not enough: the dict from one round of
            queries.
        absence_pause_s: Time before the second query for jobs that are missing, in seconds. Default: 1.
        cancel_arguments(job_ids): The jobs as `cancel_command` expects them. Default: their ids.

    To find jobs after a lost answer:
        find(script, tasks): Ids of the jobs that run `script`; none, or one for each task. `script` is the path that
            was submitted: absolute, and different for each request. For an array it is the script of the whole array.
            `tasks` is None for a single job.

    To requeue jobs at their time limit:
        requeue(): How a job asks, from inside, to be started again, for `hydra.launcher.max_requeues`.

    Methods that are rarely needed: check, check_script, command_prefix, extra_overrides, script_argument,
    submission_environment.
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
        """Return the directives of a job, without prefix: name, output files and resources.

        Args:
            job: Run to submit. `job.name` is the user's name for the job; if it is None, use `job.default_name`.

        Returns:
            One string per line of the script's head, without line breaks. Nothing quotes them.
        """

    def check(self, job: Job) -> None:
        """Refuse a job that this scheduler cannot run, before anything is written.

        A subclass that extends it calls `super().check(job)` first.

        Raises:
            OptionError: The job cannot be submitted; the message says what to change.
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
        """Refuse a script that cannot be submitted from its path.

        Raises:
            OptionError: The path cannot be used; the message says what to change.
        """
        if "\n" in str(script):
            raise OptionError(
                f"{self.title} rejects a script with a line break in its path: {str(script)!r}. Choose another run "
                "directory (hydra.sweep.dir and hydra.sweep.subdir)."
            )

    def setup_lines(self, job: Job) -> list[str]:
        """Return shell lines for the beginning of a job's script; quote paths with `shlex.quote`."""
        return []

    def command_prefix(self) -> list[str]:
        """Return shell words before the application's command, e.g. `srun`, to start several tasks."""
        return []

    def extra_overrides(self) -> list[str]:
        """Return shell words after the overrides of the application's command."""
        return []

    def requeue(self) -> Requeue | None:
        """Return how a job asks to be started again; None if the scheduler cannot do that.

        A class that returns a `Requeue` also writes directives if `self.options.max_requeues` is set: they allow the
        scheduler to requeue the job, and make it send the signal `requeue_signal` to the script's shell
        `requeue_signal_s` seconds before the time limit. `Requeue.job` and `Requeue.command` are put between double
        quotes in the script.
        """
        return None

    @property
    def _requeue_options(self) -> str:
        """The options of the requeue wrapper in the scripts of jobs that can be requeued; else empty."""
        requeue = self.requeue() if self.options.max_requeues else None
        return requeue.words(self.options) if requeue else ""

    @property
    def own_job_id(self) -> str:
        """Return shell text that is the job's id inside a job, and `by-hand` outside one.

        It is put between double quotes.
        """
        return f"${{{self.job_id_variable}:-by-hand}}"

    def all_directives(self, job: Job) -> list[str]:
        """Return the directives of a job and, last, the user's `option_cmd`, without prefix."""
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
        """Return the directives of an array, without prefix; required with `task_id_expression`.

        Args:
            array: Runs of one request. `array.tasks` is the number of jobs, `array.parallel_tasks` the number that may
                run at the same time, or None.
        """
        raise NotImplementedError(f"{type(self).__name__} has a task_id_expression, but no array_directives")

    def array_setup_lines(self, array: Array) -> list[str]:
        """Return shell lines for the beginning of an array's script.

        `"$here"` is the directory of the request, `"$task"` the directory of the task.
        """
        return []

    def script(self, job: Job) -> str:
        """Return the text of a job's script."""
        return job_script(
            job,
            self.options,
            job_id=self.own_job_id,
            directives=[f"{self.directive_prefix} {directive}" for directive in self.all_directives(job)],
            setup=self.setup_lines(job),
            prefix=self.command_prefix(),
            inherits_environment=self.inherits_environment,
            requeue_options=self._requeue_options,
            more_overrides=self.extra_overrides(),
        )

    def array_script(self, array: Array) -> str:
        """Return the text of an array's script."""
        own = self._own("array_directives", self.array_directives(array))
        limit = array.parallel_tasks
        if limit and limit < array.tasks and own == self.array_directives(replace(array, array_parallelism=None)):
            raise OptionError(
                f"{class_name(type(self))}.array_directives ignores array.parallel_tasks, so "
                "hydra.launcher.array_parallelism has no effect. Correct the class, or remove the option."
            )
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
