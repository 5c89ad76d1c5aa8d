"""The project's settings, as far as Hydra knows where they are and what it was told instead."""

from __future__ import annotations

from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mlxp_core import console
from mlxp_core.config.options import LauncherOptions
from mlxp_core.config.scheduler_names import class_name_of
from mlxp_core.config.settings_file import DEFAULTS, FILE, NO_SCHEDULER, Settings, shown
from mlxp_core.runs.info import main_file

# Sections of the file, and the callbacks that they are for
CALLBACKS = {"logger": "LoggingCallback", "version_manager": "VersioningCallback"}


def read_settings(config: DictConfig, version: dict[str, Any] | None = None) -> Settings:
    """The project's settings, from the directory of the application's primary config.

    Args:
        config: of a run or a sweep.
        version: which code runs; of a program that runs in a safe copy, the settings in force are those beside the
            original, which the user sees and edits.

    Raises:
        SettingsError: the file cannot be read, or holds what it must not.
    """
    directory = _config_directory(config)
    if version is not None and version["safe_copy"] and directory.is_relative_to(version["safe_copy"]):
        directory = Path(version["repo_path"], directory.relative_to(version["safe_copy"]))
    return Settings.read(directory / FILE)


def _config_directory(config: DictConfig) -> Path:
    """Where the primary config is; the application's own directory when it has none."""
    main = next((source for source in config.hydra.runtime.config_sources if source.provider == "main"), None)
    if main is not None and main.schema == "file":
        return Path(main.path)
    if main is not None and main.schema == "pkg":
        try:
            spec = find_spec(main.path.replace("/", "."))
        except (ImportError, ValueError):  # no such package; Hydra has warned of it
            spec = None
        if spec is not None and spec.submodule_search_locations:
            return Path(next(iter(spec.submodule_search_locations)))
    file = main_file()
    return Path(file).parent if file else Path.cwd()


def callback_settings(config: DictConfig, section: str, settings: Settings) -> dict[str, Any]:
    """The values in force of the callback that a section is for.

    Those of Hydra's configuration win over the file, and this one over the defaults.
    """
    name = callback_name(config, CALLBACKS[section])
    node = config.hydra.callbacks[name] if name is not None else {}
    return settings.section(section, **{key: node.get(key) for key in settings.section(section)})


def settings_in_force(config: DictConfig, settings: Settings, scheduler: dict[str, Any]) -> dict[str, Any]:
    """All that is in force for a run, in the form of the file; without the sections of callbacks that are not used."""
    used = [section for section, kind in CALLBACKS.items() if callback_name(config, kind) is not None]
    force = {section: callback_settings(config, section, settings) for section in used}
    return {"scheduler": scheduler, **force}


def has_project_launcher(config: DictConfig) -> bool:
    """Whether hydra/launcher=mlxp is chosen."""
    return bool(config.hydra.launcher.get("_target_") == "hydra_plugins.mlxp.launchers.MLXPLauncher")


def with_settings(
    options: dict[str, Any], schema: type[LauncherOptions], scheduler: type, settings: Settings
) -> dict[str, Any]:
    """A launcher's options, those that are not set (None) from the project's settings.

    Directives (`option_cmd`) have one scheduler's syntax: those of a project that names another one are left out, and
    that is said.
    """
    values = dict(settings.given.get("scheduler", {}))
    project = class_name_of(values.pop("name", NO_SCHEDULER))
    names = {field.name for field in fields(schema)}
    if values.get("option_cmd") and "option_cmd" in names and project not in (NO_SCHEDULER, scheduler_name(scheduler)):
        console.say(f"{shown(settings.file)}: option_cmd is for {project}, and is left out.")
        del values["option_cmd"]
    taken = {name: value for name, value in values.items() if name in names and options.get(name) is None}
    return options | taken


def scheduler_in_force(options: LauncherOptions, scheduler: type) -> dict[str, Any]:
    """What is in force of the section `scheduler`, in a launch."""
    own = {name: getattr(options, name, None) or default for name, default in DEFAULTS["scheduler"].items()}
    return own | {"name": scheduler_name(scheduler)}


def scheduler_name(scheduler: type) -> str:
    """The name by which users choose a class: ours alone, their own ones in full."""
    if scheduler.__module__.startswith("mlxp_core."):
        return NO_SCHEDULER if scheduler.__name__ == "LocalScheduler" else scheduler.__name__
    return f"{scheduler.__module__}.{scheduler.__qualname__}"


def callback_name(config: DictConfig, kind: str) -> str | None:
    """The name under which a configuration has one of our callbacks; None when it has none."""
    target = f"mlxp_core.callbacks.{kind}"
    return next((str(name) for name, node in config.hydra.callbacks.items() if node.get("_target_") == target), None)
