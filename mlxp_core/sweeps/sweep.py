"""One sweep: what is checked before anything is written, and the plan of its runs."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from hydra.core.utils import JobReturn, JobStatus
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from mlxp_core import console
from mlxp_core.config.effective import read_settings, scheduler_in_force, settings_in_force, with_settings
from mlxp_core.config.options import LauncherOptions, lines_of, read_options
from mlxp_core.config.override_grammar import OF_ONE_RUN, key_of, literal, override
from mlxp_core.errors import (
    AppCommandError,
    LaunchInterruptedError,
    OptionError,
)
from mlxp_core.files import check_writable
from mlxp_core.interrupts import raise_on_signals
from mlxp_core.jobs.app_command import AppCommand, current_app_command
from mlxp_core.jobs.script import Job
from mlxp_core.launch.launch import make_directory
from mlxp_core.launch.plan import Plan, PlannedRun, label, labels
from mlxp_core.launch.run_files import remove_if_empty
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import main_file
from mlxp_core.status.active_runs import check_not_running
from mlxp_core.sweeps.checks import (
    JOB_CALLBACK,
    check_distinct,
    check_one_request,
    check_outside_runs,
    check_shell,
    check_whitelist,
)
from mlxp_core.sweeps.composition import SweepConfigLoader
from mlxp_core.sweeps.function_job import END_OF_OVERRIDES, function_command, pickle_function
from mlxp_core.versioning.version import ResolvedVersion

_BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


def resolved_version(hydra_context: HydraContext) -> ResolvedVersion | None:
    """Return what mlxp_versioning resolved; None if it is not among the callbacks."""
    found = (getattr(callback, "resolved_version", None) for callback in hydra_context.callbacks.callbacks)
    return next((one for one in found if isinstance(one, ResolvedVersion)), None)


class Sweep(ABC):
    """What all sweeps share. Making one checks all that can be checked before anything is written.

    Raises (when made):
        LaunchInsideRunError, OptionError, AppCommandError, CommandNotFoundError, RunDirectoryError
    """

    options_class: type[LauncherOptions]
    scheduler_class: Any

    def __init__(
        self,
        options: dict[str, Any],
        *,
        config: DictConfig,
        hydra_context: HydraContext,
        task_function: TaskFunction,
    ) -> None:
        check_outside_runs()
        resolved = resolved_version(hydra_context)
        self.version = resolved.version if resolved else None
        self.started_in = resolved.started_in if resolved else Path.cwd()
        settings = read_settings(config, self.version)
        plain = {
            name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for name, value in options.items()
        }
        self.plain_options = with_settings(plain, self.options_class, self.scheduler_class, settings)
        self.options = read_options(self.options_class, self.plain_options)
        own = scheduler_in_force(self.options, self.scheduler_class)
        self.settings_in_force = settings_in_force(config, settings, own)
        for name in ("shell_config_cmd", "cleanup_cmd", "env_cmd"):
            lines_of(name, getattr(self.options, name))
        check_whitelist(hydra_context)
        self.scheduler = self.scheduler_class(self.options)
        self.config, self.hydra_context, self.task_function = config, hydra_context, task_function
        self.app = self._app_command()
        if not self.options.dry_run:
            check_shell(self.options.shell)
        # Whether the sweeper may need the results of the runs: of Hydra's own one alone it is known that it does not.
        # By name: Hydra 1.3 executes a plugin's module again, which makes another class of the same name
        sweeper = get_class(config.hydra.sweeper._target_)
        self.sweeper = sweeper.__name__
        parents = {f"{parent.__module__}.{parent.__qualname__}" for parent in sweeper.__mro__}
        self.needs_results = _BASIC_SWEEPER not in parents
        if self.needs_results and self.options.dry_run:
            raise OptionError(
                f"The sweeper {self.sweeper} may need the results of its runs, and a dry run has none: try it with "
                "hydra/sweeper=basic."
            )
        # Also what the sweeper validates the jobs with, before it hands them over
        self.loader = hydra_context.config_loader = SweepConfigLoader(hydra_context.config_loader)
        self.sweep_dir = Path(os.path.abspath(config.hydra.sweep.dir))
        check_writable(self.sweep_dir)
        # What is not there yet, from the sweep's directory upwards, for a launch that is broken off
        self._absent = [path for path in (self.sweep_dir, *self.sweep_dir.parents) if not path.exists()]
        self._launches = 0

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Write the runs of one batch and launch them.

        Raises:
            MlxpError: nothing is left of the runs that were not launched, or the message says how to go on with them.
        """
        try:
            with raise_on_signals():
                return self._launch([tuple(overrides) for overrides in job_overrides], initial_job_idx)
        except KeyboardInterrupt:
            self._clean_sweep_dir()
            raise LaunchInterruptedError("Interrupted. Nothing was submitted.") from None
        except BaseException:
            self._clean_sweep_dir()
            raise

    def _app_command(self) -> AppCommand | None:
        """How to start the application again; None where its function itself is what the jobs run."""
        try:
            return current_app_command(self.config)
        except AppCommandError:
            if self.options.submit_function == "never":
                raise
            console.say("No command line starts this application again, so its jobs run the pickled task function.")
            return None

    @abstractmethod
    def _launch(self, job_overrides: Sequence[tuple[str, ...]], first: int) -> Sequence[JobReturn]:
        """Plan, write and launch jobs, whose numbers begin with `first`."""

    def _make_directory(self) -> Path:
        """The directory of the launch of one more batch."""
        self._launches += 1
        return make_directory(self.sweep_dir, self._launches)

    def _plan(
        self,
        job_overrides: Sequence[tuple[str, ...]],
        first: int,
        directory: Path,
        undo: ExitStack,
        array_size: int = 1,
    ) -> Plan:
        """What one batch is to launch.

        Args:
            job_overrides: of each job.
            first: the number of the first job.
            directory: the launch's own; the pickled function goes there, where it is what the jobs run.
            undo: is told how to leave nothing of it.
            array_size: jobs in one request.
        """
        check_one_request(job_overrides)
        app = self.app or function_command(directory, self.config)
        runs: list[PlannedRun] = []
        for number, overrides in enumerate(job_overrides, start=first):
            runs.append(self._run(app, overrides, number))
            undo.callback(remove_if_empty, runs[-1].directory)
        check_distinct(runs)
        check_not_running([run.directory.path for run in runs if os.path.lexists(run.directory.info)])
        for run in runs:
            self.scheduler.check(run.job)
        if self.app is None:
            pickle_function(directory, self.hydra_context, self.task_function, self.config)
        return Plan(
            scheduler=f"{self.scheduler_class.__module__}.{self.scheduler_class.__qualname__}",
            options=self.plain_options | {"name": self.options.name},
            app=app,
            main_file=main_file(),
            version=self.version,
            settings=self.settings_in_force,
            started_in=self.started_in,
            array_size=array_size,
            runs=runs,
        )

    def _run(self, app: AppCommand, overrides: tuple[str, ...], number: int) -> PlannedRun:
        """Where job `number` of the sweep runs, and what is added to the application's command for it."""
        sweep_dir, subdir, output_subdir = self.loader.job_paths(self.config, list(overrides), number)
        path = Path(os.path.normpath(os.path.join(sweep_dir, subdir)))
        ours = (f"hydra.job.num={number}", f"++hydra.callbacks.mlxp_job._target_={JOB_CALLBACK}", *self._job_options())
        groups: tuple[tuple[str, ...], ...] = (overrides, (END_OF_OVERRIDES, *ours))
        if self.app is not None:
            groups = (
                self._sweep_overrides,
                overrides,  # Hydra puts a sweep's overrides last, too
                ("hydra.mode=RUN", override("hydra.run.dir", literal(str(path)))),
                (override("hydra.sweep.dir", literal(sweep_dir)), override("hydra.sweep.subdir", literal(subdir))),
                ours,
            )
        job = Job(self.options.name, RunDirectory(path, output_subdir), app, groups)
        return PlannedRun(job, overrides, label(path, self.started_in))

    @cached_property
    def _sweep_overrides(self) -> tuple[str, ...]:
        """What was given for all jobs, as far as it is not each job's own."""
        # Asked for after the callbacks, which may add to them; some hold interpolations
        given = OmegaConf.to_container(self.config.hydra.overrides.hydra, resolve=False)
        return tuple(text for text in cast(list[str], given) if key_of(text) not in OF_ONE_RUN)

    def _job_options(self) -> list[str]:
        """Overrides for the callback in the job."""
        return []

    def _reported(self, runs: Sequence[PlannedRun], results: Sequence[JobReturn]) -> Sequence[JobReturn]:
        """The results of runs; those that failed are named, with where they say why."""
        failed = [run for run, result in zip(runs, results, strict=True) if result.status is JobStatus.FAILED]
        if failed:
            console.say(f"{console.count(failed, 'run')} of {len(runs)} failed; see:")
            for run in failed:
                console.say(f"  {run.label}/{run.directory.stderr.name}")
        return results

    def _say_dry_run(self, plan: Plan) -> None:
        console.say(f"Dry run: {console.count(plan.runs, 'script')} written, nothing submitted:")
        for run in plan.runs[: console.NAMED]:
            console.say(f"  {run.label}/{run.directory.script.name}  {' '.join(run.overrides)}")
        if len(plan.runs) > console.NAMED:
            console.say(f"  and {len(plan.runs) - console.NAMED} more: {labels(plan.runs[console.NAMED :])}")

    def _clean_sweep_dir(self) -> None:
        """Remove Hydra's own note of a sweep of which nothing else is left."""
        if self._absent and {entry.name for entry in self.sweep_dir.glob("*")} <= {"multirun.yaml"}:
            with suppress(OSError):
                (self.sweep_dir / "multirun.yaml").unlink(missing_ok=True)
                for path in self._absent:
                    path.rmdir()
