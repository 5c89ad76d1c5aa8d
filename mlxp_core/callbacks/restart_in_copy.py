"""Restart the program in the safe copy, with what the first process resolved."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from mlxp_core.callbacks.outside_commit import pinned_directory
from mlxp_core.commands import become, first_environment
from mlxp_core.config.effective import (
    callback_name,
    callback_settings,
    has_project_launcher,
    read_settings,
    source_directories,
)
from mlxp_core.config.override_grammar import literal, override
from mlxp_core.errors import AppCommandError, OptionError
from mlxp_core.jobs.app_command import application_files, current_app_command, same_command
from mlxp_core.versioning.git_command import LOCAL_VARIABLES
from mlxp_core.versioning.source_roots import Move, is_source
from mlxp_core.versioning.version import ResolvedVersion, option

# Number of an open file with what the first process resolved
_VARIABLE = "MLXP_RESOLVED_VERSION"
# Nodes of the configuration that must be the same in the safe copy: they decided what was asked and what is launched
_DECISIVE = ("mode", "launcher", "sweeper", "callbacks")


def restart(config: DictConfig, resolved: ResolvedVersion) -> None:
    """Replace this process by the same command in the matching directory of the safe copy; do not return.

    Raises:
        AppCommandError: The command names a path that the copy does not have.
        SafeCopyError: No PYTHONPATH leads to the copy's modules.
    """
    move = Move(Path(resolved.version["repo_path"]), Path(resolved.version["safe_copy"]))
    cwd = move.directory(resolved.started_in)

    def moved(path: Path) -> Path:
        new = move.path(path)
        if new != path and path.exists() and not new.exists():
            raise AppCommandError(
                f"{path} is not in the commit, so it is not in the safe copy: add it to git, or set "
                f"{option('run_from')}=repository."
            )
        return new

    command = current_app_command(config, moved)
    # As it was before the program's own changes, which may contain paths of the repository: the program repeats them
    environment = first_environment() | {"PWD": str(cwd)}
    for name in ("PYTHONPATH", *LOCAL_VARIABLES):  # git in the application must see the copy
        environment.pop(name, None)
    if (python_path := move.python_path()) is not None:
        environment["PYTHONPATH"] = python_path
    with restart_environment(resolved, _decisive(config)) as variable:
        argv = same_command(command, _pins(config, resolved))
        become(argv, cwd=cwd, env=environment | variable)


@contextmanager
def restart_environment(resolved: ResolvedVersion, decisive: dict[str, Any]) -> Iterator[dict[str, str]]:
    """Return the environment variable that passes the resolved version to a program that starts in a safe copy.

    Args:
        resolved: Version with a safe copy.
        decisive: Nodes that must be the same in the configuration there.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        json.dump({"version": resolved.version, "started_in": str(resolved.started_in), "decisive": decisive}, file)
        file.flush()
        os.set_inheritable(file.fileno(), True)
        yield {_VARIABLE: str(file.fileno())}


def received_version(config: DictConfig) -> ResolvedVersion | None:
    """Return the version that the first process resolved; None in the first process itself.

    Raises:
        AppCommandError: The program still runs from the repository.
        OptionError: The configuration still comes from the repository, or its decisive nodes differ.
    """
    number = os.environ.pop(_VARIABLE, None)
    if number is None:
        return None
    with os.fdopen(int(number), encoding="utf-8") as stream:
        stream.seek(0)
        start = json.load(stream)
    resolved = ResolvedVersion(start["version"], Path(start["started_in"]))
    root, copy = Path(resolved.version["repo_path"]), Path(resolved.version["safe_copy"])
    for file in map(os.path.realpath, application_files()):
        if is_source(Path(file), root, copy):
            raise AppCommandError(
                f"{file} would run from the repository, not from its safe copy: start it from inside the "
                f"repository, or set {option('run_from')}=repository."
            )
    for path in (path for source in config.hydra.runtime.config_sources for path in source_directories(source)):
        if is_source(path, root, copy):
            raise OptionError(
                f"The configuration in {path} would be read from the repository, not from its safe copy: commit it, "
                "and use a path relative to the working directory."
            )
    now = _decisive(config)
    for name, value in start["decisive"].items():
        if now[name] != value:
            raise OptionError(
                f"The configuration of commit {resolved.version['commit_hash']} has a different hydra.{name} than the "
                "configuration here: commit the configuration too, or keep it for this launch "
                f"({option('uncommitted')}=keep); name files of it that git ignores in {option('links')}."
            )
    return resolved


def _pins(config: DictConfig, resolved: ResolvedVersion) -> list[str]:
    """Return overrides that keep the directories of runs in the original place, and that keep this callback."""
    name = callback_name(config, "VersioningCallback")
    pins = [f"++hydra.callbacks.{name}._target_={config.hydra.callbacks[name]._target_}"]
    if (logging := callback_name(config, "LoggingCallback")) is None:  # which sets both directories
        root = Path(resolved.version["repo_path"])
        for key in ("run", "sweep"):
            if (value := pinned_directory(config, key, resolved.started_in, root)) is not None:
                pins.append(override(f"hydra.{key}.dir", value))
    else:
        values = callback_settings(config, "logger", read_settings(config))
        parent_log_dir = literal(os.path.abspath(values["parent_log_dir"]))
        pins.append(override(f"++hydra.callbacks.{logging}.parent_log_dir", parent_log_dir))
        pins.append(f"++hydra.callbacks.{logging}.forced_log_id={values['forced_log_id']}")
    if has_project_launcher(config):
        pins.append(override("hydra.launcher.name", literal(config.hydra.launcher.name)))
    return pins


def _decisive(config: DictConfig) -> dict[str, Any]:
    """Return the nodes that must be the same in both processes, as plain data."""
    nodes = _plain(config.hydra)
    for pinned in ("parent_log_dir", "forced_log_id"):
        nodes["callbacks"].get(callback_name(config, "LoggingCallback"), {}).pop(pinned, None)
    plain: dict[str, Any] = json.loads(json.dumps({name: nodes[name] for name in _DECISIVE}, default=str))
    return plain


def _plain(node: DictConfig) -> dict[str, Any]:
    """Return a node as plain data, with unresolved interpolations."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=False))
