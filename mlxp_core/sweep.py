"""One sweep: plan its runs, write their directories, and hand them to whatever runs them."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, cast

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from mlxp_core import console
from mlxp_core.app_command import current_app_command
from mlxp_core.composition import SweepConfigLoader
from mlxp_core.errors import LaunchInsideRunError, LaunchInterruptedError, OptionError, RunDirectoryError
from mlxp_core.interrupts import all_signals_interrupt
from mlxp_core.job_script import RUN_MARKER, Job
from mlxp_core.options import LauncherOptions, lines_of, read_options
from mlxp_core.overrides import key_of, literal, override
from mlxp_core.run_directory import RunDirectory, check_writable, read_if_there, write_whole
from mlxp_core.run_info import new_info, write_info
from mlxp_core.versioning.version import Settled

# Overrides that a sweep gives its own value in each job
_PINNED = (
    "hydra.mode",
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.sweep.subdir",
    "hydra.job.num",
    "hydra.job.id",
)
# Runs that are prepared within two seconds
_SILENT = 300
_JOB_CALLBACK = "mlxp_core.callbacks.JobCallback"


@dataclass(frozen=True)
class Run:
    """One run of the sweep: the job, and the overrides that make it this one."""

    job: Job
    overrides: tuple[str, ...]
    label: str  # its directory, as short as it can be shown


class Sweep(ABC):
    """What all sweeps share. Making one checks all that can be checked before anything is written.

    Raises (when made):
        LaunchInsideRunError, OptionError, AppCommandError, CommandNotFoundError, RunDirectoryError
    """

    options_class: ClassVar[type[LauncherOptions]]
    scheduler_class: ClassVar[Any]

    def __init__(self, options: dict[str, Any], config: DictConfig, hydra_context: HydraContext) -> None:
        if RUN_MARKER in os.environ:
            raise LaunchInsideRunError(
                f"The run {os.environ[RUN_MARKER]} tried to launch runs: start sweeps from a login node or an "
                f"interactive job (or unset {RUN_MARKER}, if this is no run any more)."
            )
        plain = {
            name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for name, value in options.items()
        }
        self.options = read_options(self.options_class, plain)
        for name in ("shell_config_cmd", "cleanup_cmd", "env_cmd"):
            lines_of(name, getattr(self.options, name))
        _check_whitelist(hydra_context)
        self.scheduler = self.scheduler_class(self.options)
        self.app = current_app_command(config)
        if not self.options.dry_run:
            self.scheduler.check_installed()
        self.config = config
        # Also what the sweeper validates the jobs with, before it hands them over
        self.loader = hydra_context.config_loader = SweepConfigLoader(hydra_context.config_loader)
        found = [getattr(callback, "settled", None) for callback in hydra_context.callbacks.callbacks]
        settled = next((one for one in found if isinstance(one, Settled)), None)
        self.version = settled.version if settled else None
        self.started_in = settled.started_in if settled else Path.cwd()
        self.sweep_dir = Path(os.path.abspath(config.hydra.sweep.dir))
        check_writable(self.sweep_dir)
        # What is not there yet, from the sweep's directory upwards, and what a file held before we wrote it: both for a
        # launch that is broken off
        self._absent = [path for path in (self.sweep_dir, *self.sweep_dir.parents) if not path.exists()]
        self._replaced: dict[Path, bytes | None] = {}
        self._launched = False  # whether any run may have started

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Write the runs of one batch and launch them.

        Raises:
            MlxpError: nothing is left of the runs that were not launched.
        """
        with all_signals_interrupt():
            return self._launch(self._prepare(job_overrides, initial_job_idx))

    def _prepare(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> list[Run]:
        runs: list[Run] = []
        if len(job_overrides) > _SILENT:
            console.say(f"Preparing {len(job_overrides)} runs ...")
        try:
            for number, overrides in enumerate(job_overrides, start=initial_job_idx):
                runs.append(self._plan(tuple(overrides), number))
            _check_distinct(runs)
            for run in runs:
                self.scheduler.check(run.job)
            for run in runs:
                self._write(run)
        except KeyboardInterrupt:
            self._discard(runs)
            raise LaunchInterruptedError("Interrupted. Nothing was submitted.") from None
        except BaseException:
            self._discard(runs)
            raise
        return runs

    def _launch(self, runs: Sequence[Run]) -> Sequence[JobReturn]:
        if self.options.dry_run:
            console.say(f"Dry run: {console.count(runs, 'script')} written, nothing submitted:")
            for run in runs:
                console.say(f"  {run.label}/{run.job.run.script.name}  {' '.join(run.overrides)}")
            return []
        return self._start(runs)

    @abstractmethod
    def _start(self, runs: Sequence[Run]) -> Sequence[JobReturn]:
        """Hand runs whose directories are complete to what runs them."""

    def _plan(self, overrides: tuple[str, ...], number: int) -> Run:
        """Where job `number` of the sweep runs, and what is added to the application's command for it."""
        config = self.loader.load_sweep_config(self.config, list(overrides))
        with open_dict(config):
            config.hydra.job.num = number
        sweep_dir, subdir = _directories(config)
        path = Path(os.path.normpath(os.path.join(sweep_dir, subdir)))
        given = OmegaConf.to_container(self.config.hydra.overrides.hydra, resolve=False)  # some hold interpolations
        groups = (
            tuple(text for text in cast(list[str], given) if key_of(text) not in _PINNED),
            overrides,  # Hydra puts a sweep's overrides last, too
            ("hydra.mode=RUN", override("hydra.run.dir", literal(str(path)))),
            (override("hydra.sweep.dir", literal(sweep_dir)), override("hydra.sweep.subdir", literal(subdir))),
            (f"hydra.job.num={number}", f"++hydra.callbacks.mlxp_job._target_={_JOB_CALLBACK}"),
        )
        job = Job(self.options.name, RunDirectory(path, config.hydra.output_subdir), self.app, groups)
        label = path.relative_to(self.started_in) if path.is_relative_to(self.started_in) else path
        return Run(job, overrides, str(label))

    def _write(self, run: Run) -> None:
        """Complete a run's directory; from the submission on it belongs to the job."""
        directory = run.job.run
        for file in (directory.script, directory.info, directory.job_return):
            self._replaced[file] = read_if_there(file)
        directory.job_return.unlink(missing_ok=True)
        write_whole(directory.script, self.scheduler.script(run.job), mode=0o777)
        info = new_info(directory, self.scheduler_class.__name__, str(self.app.cwd), self.version)
        write_info(directory.info, info)

    def _discard(self, runs: Sequence[Run]) -> None:
        """Leave the directories of runs that are not launched as they were."""
        for directory in [run.job.run for run in runs]:
            for file in (directory.script, directory.info, directory.job_return):
                old = self._replaced.get(file)
                with suppress(OSError):
                    if old is not None:
                        file.write_bytes(old)
                    elif file in self._replaced:
                        file.unlink()
            with suppress(OSError):  # it is an older run's, and holds something
                directory.metadata.rmdir()
            if not os.path.lexists(directory.metadata):
                for path in (directory.path / "metrics", directory.path / "artifacts", directory.path):
                    with suppress(OSError):
                        path.rmdir()
        # Hydra's own note of a sweep of which nothing is left
        if (
            not self._launched
            and self._absent
            and {entry.name for entry in self.sweep_dir.glob("*")} == {"multirun.yaml"}
        ):
            with suppress(OSError):
                (self.sweep_dir / "multirun.yaml").unlink()
                for path in self._absent:
                    path.rmdir()


def _directories(config: DictConfig) -> tuple[str, str]:
    """A job's `hydra.sweep.dir`, absolute, and `hydra.sweep.subdir`, as Hydra's own launcher would find them."""
    before = HydraConfig.instance().cfg
    # They may be named with ${hydra:...}. Its set_config would copy the configuration, in 5 ms.
    HydraConfig.instance().cfg = cast(Any, config)
    try:
        return os.path.abspath(config.hydra.sweep.dir), str(config.hydra.sweep.subdir)
    except (InterpolationToMissingValueError, MissingMandatoryValue) as error:
        raise OptionError(
            "hydra.sweep.dir and hydra.sweep.subdir must be known before the job is submitted, but use a value "
            f"that is not ({str(error.msg).splitlines()[0]}): name runs by hydra.job.num, or number them with "
            "hydra/callbacks=mlxp_logging."
        ) from error
    finally:
        HydraConfig.instance().cfg = before


def _check_whitelist(hydra_context: HydraContext) -> None:
    """Hydra 1.4 can forbid targets that the application does not name; our callback in the job is one."""
    allowed = getattr(hydra_context, "execution_whitelist", None)
    if isinstance(allowed, tuple) and not {_JOB_CALLBACK, "mlxp_core.callbacks.*", "mlxp_core.*"} & set(allowed):
        raise OptionError(
            "This application allows Hydra the targets of execution_whitelist alone: add 'mlxp_core.callbacks.*' to "
            "it in @hydra.main, so that its jobs can record their state."
        )


def _check_distinct(runs: Sequence[Run]) -> None:
    seen: dict[Path, Run] = {}
    for run in runs:
        other = seen.setdefault(run.job.run.path, run)
        if other is not run:
            raise RunDirectoryError(
                f"Two runs of this sweep would share the directory {run.job.run.path}: put ${{hydra.job.num}} into "
                "hydra.sweep.subdir, or number the runs with hydra/callbacks=mlxp_logging."
            )
