"""One sweep: what is checked before anything is written, and what all its launches share."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from mlxp_core import console
from mlxp_core.config.effective import read_settings, scheduler_in_force, settings_in_force, with_settings
from mlxp_core.config.options import LauncherOptions, lines_of, read_options
from mlxp_core.errors import AppCommandError, OptionError
from mlxp_core.jobs.app_command import AppCommand, current_app_command
from mlxp_core.sweeps.checks import check_outside_runs, check_shell, check_whitelist
from mlxp_core.sweeps.composition import SweepConfigLoader, install_loader
from mlxp_core.sweeps.sweep_directory import SweepDirectory
from mlxp_core.versioning.version import ResolvedVersion

_BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"

Options = TypeVar("Options", bound=LauncherOptions)


@dataclass(frozen=True)
class SweepContext(Generic[Options]):
    """What all launches of one sweep share; a sweep is all jobs of one `-m` command.

    Attributes:
        config: Hydra's configuration of the sweep.
        hydra_context: Hydra's loader and callbacks.
        task_function: The function under `@hydra.main`.
        loader: Composes the jobs.
        options: Launcher options.
        plain_options: The same as plain data, for the plan.
        app: Command that starts the application; None if the jobs run the pickled task function.
        settings: Settings in force for each run, in the form of the project's settings file.
        version: Version of the code that runs; None without mlxp_versioning.
        started_in: Directory in which the user started the program.
        directory: Directory of the sweep.
        sweeper: Class name of the sweeper.
        needs_results: Whether the sweeper may need the results of the runs.
    """

    config: DictConfig
    hydra_context: HydraContext
    task_function: TaskFunction
    loader: SweepConfigLoader
    options: Options
    plain_options: dict[str, Any]
    app: AppCommand | None
    settings: dict[str, Any]
    version: dict[str, Any] | None
    started_in: Path
    directory: SweepDirectory
    sweeper: str
    needs_results: bool


def set_up_sweep(
    options: dict[str, Any],
    options_class: type[Options],
    scheduler_class: type,
    *,
    config: DictConfig,
    hydra_context: HydraContext,
    task_function: TaskFunction,
) -> SweepContext[Options]:
    """Check everything that can be checked before anything is written, and replace Hydra's config loader by ours.

    Args:
        options: Launcher options, as Hydra passes them.
        options_class: Their schema.
        scheduler_class: Class of the scheduler.
        config: Hydra's configuration of the sweep.
        hydra_context: Hydra's loader and callbacks.
        task_function: The function under `@hydra.main`.

    Raises:
        LaunchInsideRunError, OptionError, SettingsError, AppCommandError, RunDirectoryError: A check failed.
    """
    check_outside_runs()
    check_whitelist(hydra_context)
    resolved = resolved_version(hydra_context)
    version = resolved.version if resolved else None
    settings = read_settings(config, version)
    plain = {
        name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for name, value in options.items()
    }
    plain = with_settings(plain, options_class, scheduler_class, settings)
    checked = read_options(options_class, plain)
    for name in ("shell_config_cmd", "cleanup_cmd", "env_cmd"):
        lines_of(name, getattr(checked, name))
    if not checked.dry_run:
        check_shell(checked.shell)
    sweeper, needs_results = _sweeper(config)
    if needs_results and checked.dry_run:
        raise OptionError(
            f"The sweeper {sweeper} may need the results of its runs, but a dry run has none. Use hydra/sweeper=basic "
            "for the dry run."
        )
    return SweepContext(
        config=config,
        hydra_context=hydra_context,
        task_function=task_function,
        loader=install_loader(hydra_context),
        options=checked,
        plain_options=plain,
        app=_app_command(config, checked),
        settings=settings_in_force(config, settings, scheduler_in_force(checked, scheduler_class)),
        version=version,
        started_in=resolved.started_in if resolved else Path.cwd(),
        directory=SweepDirectory(Path(os.path.abspath(config.hydra.sweep.dir))),
        sweeper=sweeper,
        needs_results=needs_results,
    )


def resolved_version(hydra_context: HydraContext) -> ResolvedVersion | None:
    """Return the version that mlxp_versioning decided on; None without that callback."""
    found = (getattr(callback, "resolved_version", None) for callback in hydra_context.callbacks.callbacks)
    return next((one for one in found if isinstance(one, ResolvedVersion)), None)


def _app_command(config: DictConfig, options: LauncherOptions) -> AppCommand | None:
    """Return the command that starts the application; None if the jobs have to run its pickled task function."""
    try:
        return current_app_command(config)
    except AppCommandError:
        if options.submit_function == "never":
            raise
        console.say("No command line starts this application again, so its jobs run the pickled task function.")
        return None


def _sweeper(config: DictConfig) -> tuple[str, bool]:
    """Return the class name of the sweeper, and whether it may need the results of the runs.

    Only Hydra's own sweeper is known not to need them. It is recognized by name, because Hydra 1.3 executes a plugin's
    module again, which makes another class of the same name.
    """
    sweeper = get_class(config.hydra.sweeper._target_)
    parents = {f"{parent.__module__}.{parent.__qualname__}" for parent in sweeper.__mro__}
    return sweeper.__name__, _BASIC_SWEEPER not in parents
