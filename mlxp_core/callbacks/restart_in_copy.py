"""Starting the program again from the safe copy, and going on there where the first process left off."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from mlxp_core.commands import become, first_environment
from mlxp_core.config.effective import callback_name, callback_settings, has_project_launcher, read_settings
from mlxp_core.config.override_grammar import literal, override
from mlxp_core.errors import AppCommandError, OptionError
from mlxp_core.jobs.app_command import application_files, current_app_command, same_command
from mlxp_core.versioning.git_command import LOCAL_VARIABLES
from mlxp_core.versioning.source_roots import Move, is_source
from mlxp_core.versioning.version import ResolvedVersion, option

# Names an open file that says what the first process settled
_VARIABLE = "MLXP_SETTLED_VERSION"
# What must be the same in the configuration of the safe copy, because it decided what was asked and what is launched
_DECISIVE = ("mode", "launcher", "sweeper", "callbacks")


def start_again(config: DictConfig, settled: ResolvedVersion) -> None:
    """Replace this process by the same command at the matching place of the safe copy; does not return.

    Raises:
        AppCommandError: the command names something that the copy does not have.
        SafeCopyError: Python cannot be made to find the copy's modules.
    """
    move = Move(Path(settled.version["repo_path"]), Path(settled.version["safe_copy"]))
    cwd = move.directory(settled.started_in)

    def moved(path: Path) -> Path:
        new = move.path(path)
        if new != path and path.exists() and not new.exists():
            raise AppCommandError(
                f"{path} is not in the commit, so it is not in the safe copy: add it to git, or set "
                f"{option('run_from')}=repository."
            )
        return new

    command = current_app_command(config, moved)
    # The program sets again what it set itself, which may be a path of the repository
    environment = first_environment() | {"PWD": str(cwd)}
    for name in ("PYTHONPATH", *LOCAL_VARIABLES):  # the application's own git shall see the copy
        environment.pop(name, None)
    if (python_path := move.python_path()) is not None:
        environment["PYTHONPATH"] = python_path
    with handed_over(settled, _decisive(config)) as variable:
        argv = same_command(command, _pins(config, settled.started_in))
        become(argv, cwd=cwd, env=environment | variable)


@contextmanager
def handed_over(settled: ResolvedVersion, decisive: dict[str, Any]) -> Iterator[dict[str, str]]:
    """The variable of a program that starts in a safe copy, by which it learns what was settled.

    Args:
        settled: with a safe copy.
        decisive: what must be the same in the configuration there.
    """
    with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
        json.dump({"version": settled.version, "started_in": str(settled.started_in), "decisive": decisive}, file)
        file.flush()
        os.set_inheritable(file.fileno(), True)
        yield {_VARIABLE: str(file.fileno())}


def take_over(config: DictConfig) -> ResolvedVersion | None:
    """What the first process settled; None in the first process itself.

    Raises:
        AppCommandError: the program still comes from the repository.
        OptionError: the configuration does, or it differs in what must not.
    """
    number = os.environ.pop(_VARIABLE, None)
    if number is None:
        return None
    with os.fdopen(int(number), encoding="utf-8") as stream:
        stream.seek(0)
        start = json.load(stream)
    settled = ResolvedVersion(start["version"], Path(start["started_in"]))
    root, copy = Path(settled.version["repo_path"]), Path(settled.version["safe_copy"])
    for file in map(os.path.realpath, application_files()):
        if is_source(Path(file), root, copy):
            raise AppCommandError(
                f"{file} would run from the repository, and not from its safe copy: start it from inside the "
                f"repository, or set {option('run_from')}=repository."
            )
    for path in _config_directories(config):
        if is_source(path, root, copy):
            raise OptionError(
                f"The configuration in {path} would be read from the repository, and not from its safe copy: commit "
                "it, and name it by a path relative to where the program is started."
            )
    now = _decisive(config)
    for name, value in start["decisive"].items():
        if now[name] != value:
            raise OptionError(
                f"The configuration of commit {settled.version['commit_hash']} has another hydra.{name} than the one "
                "here: commit the configuration too, or keep it for this launch "
                f"({option('uncommitted')}=keep)."
            )
    return settled


def _pins(config: DictConfig, started_in: Path) -> list[str]:
    """Overrides that keep in the original place what was relative to it, and that keep this callback."""
    name = callback_name(config, "VersioningCallback")
    pins = [f"++hydra.callbacks.{name}._target_={config.hydra.callbacks[name]._target_}"]
    for key in ("run", "sweep"):
        raw = str(_plain(config.hydra[key])["dir"])
        # What begins with an interpolation can be either; others are not resolved, because mlxp_logging's value
        # allocates a number
        if not Path(str(config.hydra[key].dir) if raw.startswith("${") else raw).is_absolute():
            pins.append(override(f"hydra.{key}.dir", f"{literal(str(started_in))}/{raw}"))
    if (logging := callback_name(config, "LoggingCallback")) is not None:
        values = callback_settings(config, "logger", read_settings(config))
        root = os.path.abspath(values["parent_log_dir"])
        pins.append(override(f"++hydra.callbacks.{logging}.parent_log_dir", literal(root)))
        pins.append(f"++hydra.callbacks.{logging}.forced_log_id={values['forced_log_id']}")
    if has_project_launcher(config):
        pins.append(override("hydra.launcher.name", literal(config.hydra.launcher.name)))
    return pins


def _config_directories(config: DictConfig) -> Iterator[Path]:
    """Where the configuration was looked for."""
    for source in config.hydra.runtime.config_sources:
        if source.schema == "file":
            yield Path(source.path)
        elif source.schema == "pkg":
            try:
                spec = find_spec(source.path.replace("/", "."))
            except (ImportError, ValueError):  # no such package; Hydra has warned of it
                continue
            yield from map(Path, (spec.submodule_search_locations or []) if spec else [])


def _decisive(config: DictConfig) -> dict[str, Any]:
    """The parts of a configuration that both processes must agree on, as plain data."""
    nodes = _plain(config.hydra)
    for pinned in ("parent_log_dir", "forced_log_id"):
        nodes["callbacks"].get(callback_name(config, "LoggingCallback"), {}).pop(pinned, None)
    plain: dict[str, Any] = json.loads(json.dumps({name: nodes[name] for name in _DECISIVE}, default=str))
    return plain


def _plain(node: DictConfig) -> dict[str, Any]:
    """A node as it is written, its interpolations not resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=False))
