"""The scheduler of hydra/launcher=mlxp: from the project's settings, or by a question to the user."""

from __future__ import annotations

import shutil
from typing import Any

from omegaconf import DictConfig, open_dict, read_write

from mlxp_core.config.effective import read_settings
from mlxp_core.config.override_grammar import literal, override
from mlxp_core.config.scheduler_names import class_name_of
from mlxp_core.config.settings_file import NO_SCHEDULER, Settings, shown
from mlxp_core.errors import LaunchInterruptedError, OptionError, SettingsError
from mlxp_core.interrupts import raise_on_signals
from mlxp_core.prompts import ask, choose, has_terminal, say
from mlxp_core.schedulers import OARScheduler, Scheduler, SLURMScheduler
from mlxp_core.schedulers.loading import load_scheduler

_OURS: tuple[type[Scheduler], ...] = (OARScheduler, SLURMScheduler)


def resolve_scheduler(config: DictConfig, version: dict[str, Any] | None = None) -> str:
    """Return the name of the scheduler for hydra/launcher=mlxp, and add it to the configuration.

    Ask the user if neither Hydra's configuration nor the project's settings name a scheduler.

    Raises:
        SettingsError, OptionError, NoAnswerError: See choose_scheduler.
        LaunchInterruptedError: The user interrupted the question.
    """
    if not config.hydra.launcher.name:
        try:
            with raise_on_signals():
                name = choose_scheduler(read_settings(config, version))
        except KeyboardInterrupt:
            raise LaunchInterruptedError("Interrupted. Nothing was launched.") from None
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.launcher.name = name
            # For the configurations of the jobs too: Hydra 1.4 refuses a sweep that changes the launcher
            config.hydra.overrides.hydra.append(override("hydra.launcher.name", literal(name)))
    return str(config.hydra.launcher.name)


def choose_scheduler(settings: Settings) -> str:
    """Return the name of the project's scheduler; ask the user if the settings name none.

    Raises:
        SettingsError: The name in the settings is not that of a scheduler.
        OptionError: The settings name no scheduler and there is no terminal for the question.
        NoAnswerError: The input ended before the answer.
    """
    name = class_name_of(str(settings.section("scheduler")["name"]))
    if name != NO_SCHEDULER:
        try:
            load_scheduler(name)
        except OptionError as error:
            raise SettingsError(f"{shown(settings.file)}: scheduler.name: {error}") from error
        return name
    if not has_terminal():
        raise OptionError(
            f"No scheduler is configured. Write\n\nscheduler:\n  name: {_installed()[0]}\n\ninto "
            f"{shown(settings.file)}, or run on this machine with hydra.launcher.name={NO_SCHEDULER}."
        )
    return _ask(settings)


def _ask(settings: Settings) -> str:
    file = shown(settings.file)
    say(
        "No scheduler is configured by default\n\n"
        "Would you like to select a default job scheduler now ?  (y/n):\n\n"
        f"y: The job scheduler configs will be stored in the file {file}\n"
        "n: No scheduler will be selected by default.\n"
    )
    if choose("Please enter your answer (y/n): ", "yn") == "n":
        return NO_SCHEDULER
    say(
        "\nYou can either choose one of the job schedulers available by default,\n"
        f"or define a custom one by inheriting from the abstract class {Scheduler} (see documentation)\n\n"
        "For a default scheduler, you can choose one from this list:\n\n"
        f"{[kind.__name__ for kind in _OURS]}\n"
    )
    for kind in _OURS:
        if _is_installed(kind):
            say(f"This machine has the command '{kind.submit_command[0]}' of {kind.__name__}.\n")
    say(
        "For a custom scheduler, you must provide the full name of the user-defined Scheduler subclass "
        "(ex. my_app.CustomScheduler):\n"
    )
    while True:
        name = class_name_of(ask("Please enter your choice (or hit Enter to skip): "))
        if not name:
            return NO_SCHEDULER
        try:
            load_scheduler(name)
        except OptionError as error:
            say(str(error))
            continue
        break
    say(f"\nSetting Scheduler to {name}\n")
    say(f"Default settings for MLXP will be {'updated' if settings.file.exists() else 'created'} in {file}\n")
    settings.write_scheduler(name)
    return name


def _is_installed(kind: type[Scheduler]) -> bool:
    return shutil.which(kind.submit_command[0]) is not None


def _installed() -> list[str]:
    """The schedulers of this package, those with a command on this machine first."""
    return [kind.__name__ for kind in sorted(_OURS, key=lambda kind: not _is_installed(kind))]
