"""The project's settings as Hydra's configuration locates them, and the values that are in force."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from mlxp_core import console
from mlxp_core.config.options import LauncherOptions
from mlxp_core.config.scheduler_names import class_name_of
from mlxp_core.config.settings_file import DEFAULTS, FILE, NO_SCHEDULER, Settings, shown
from mlxp_core.runs.info import main_file

# Sections of the settings file, and the callback that each configures
CALLBACKS = {"logger": "LoggingCallback", "version_manager": "VersioningCallback"}


def read_settings(config: DictConfig, version: dict[str, Any] | None = None) -> Settings:
    """Read the project's settings, which are in the directory of the application's primary config.

    Args:
        config: Configuration of a run or a sweep.
        version: Record of the code that runs. A program that runs in a safe copy uses the settings in the repository,
            which the user sees and edits.

    Raises:
        SettingsError: The file cannot be read, or its content is not allowed.
    """
    directory = _primary_config_directory(config)
    if version is not None and version["safe_copy"] and directory.is_relative_to(version["safe_copy"]):
        directory = Path(version["repo_path"], directory.relative_to(version["safe_copy"]))
    return Settings.read(directory / FILE)


def _primary_config_directory(config: DictConfig) -> Path:
    """Return the directory of the primary config; without one, the application's own directory."""
    for source in config.hydra.runtime.config_sources:
        if source.provider == "main" and (directories := source_directories(source)):
            return directories[0]
    file = main_file()
    return Path(file).parent if file else Path.cwd()


def source_directories(source: Any) -> list[Path]:
    """Return the directories of one of Hydra's config sources; none if it is not on disk."""
    if source.schema == "file":
        return [Path(source.path)]
    if source.schema == "pkg":
        try:
            spec = find_spec(source.path.replace("/", "."))
        except (ImportError, ValueError):  # no such package; Hydra has warned about it
            return []
        return [Path(place) for place in spec.submodule_search_locations or []] if spec is not None else []
    return []


def callback_settings(config: DictConfig, section: str, settings: Settings) -> dict[str, Any]:
    """Return the values in force for the callback that a section configures.

    Hydra's configuration takes precedence over the file, and the file over the defaults.
    """
    name = callback_name(config, CALLBACKS[section])
    node = config.hydra.callbacks[name] if name is not None else {}
    return settings.section(section, **{key: node.get(key) for key in settings.section(section)})


def settings_in_force(config: DictConfig, settings: Settings, scheduler: dict[str, Any]) -> dict[str, Any]:
    """Return the values in force for a run, in the form of the file, with sections only of callbacks that are used."""
    used = [section for section, kind in CALLBACKS.items() if callback_name(config, kind) is not None]
    return {"scheduler": scheduler, **{section: callback_settings(config, section, settings) for section in used}}


def has_project_launcher(config: DictConfig) -> bool:
    """Return whether the launcher is hydra/launcher=mlxp."""
    return bool(config.hydra.launcher.get("_target_") == "hydra_plugins.mlxp.launchers.MLXPLauncher")


def with_settings(
    options: dict[str, Any], schema: type[LauncherOptions], scheduler: type, settings: Settings
) -> dict[str, Any]:
    """Return a launcher's options; those that are None get the value of the project's settings.

    Directives (`option_cmd`) have the syntax of one scheduler: those for another scheduler are not used, with a notice.
    """
    values = dict(settings.given.get("scheduler", {}))
    project = class_name_of(values.pop("name", NO_SCHEDULER))
    names = {field.name for field in fields(schema)}
    if values.get("option_cmd") and "option_cmd" in names and project not in (NO_SCHEDULER, scheduler_name(scheduler)):
        console.say(f"option_cmd in {shown(settings.file)} is for {project}: it is not used in this launch.")
        del values["option_cmd"]
    missing = {name: value for name, value in values.items() if name in names and options.get(name) is None}
    return options | missing


def scheduler_in_force(options: LauncherOptions, scheduler: type) -> dict[str, Any]:
    """Return the values in force of the section `scheduler`, for a launch."""
    own = {name: getattr(options, name, None) or default for name, default in DEFAULTS["scheduler"].items()}
    return own | {"name": scheduler_name(scheduler)}


def scheduler_name(scheduler: type) -> str:
    """Return the name by which users choose a scheduler class: a short name for ours, the full name for others."""
    if scheduler.__module__.startswith("mlxp_core."):
        return NO_SCHEDULER if scheduler.__name__ == "LocalScheduler" else scheduler.__name__
    return f"{scheduler.__module__}.{scheduler.__qualname__}"


def callback_name(config: DictConfig, kind: str) -> str | None:
    """Return the name under which a configuration has one of our callbacks; None if it does not have it."""
    target = f"mlxp_core.callbacks.{kind}"
    return next((str(name) for name, node in config.hydra.callbacks.items() if node.get("_target_") == target), None)


@contextmanager
def as_hydra_config(config: DictConfig) -> Iterator[None]:
    """Resolve ${hydra:...} in this configuration. HydraConfig's own set_config would copy it, which takes 5 ms."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().cfg = cast(Any, config)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before
