"""hydra/callbacks=mlxp_versioning: the code that runs is the code of one commit."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from omegaconf import DictConfig, OmegaConf

from mlxp_core.app_command import application_files, current_app_command, same_command
from mlxp_core.callbacks.hooks import in_job, stops_hydra
from mlxp_core.callbacks.recording import RecordingCallback
from mlxp_core.commands import become
from mlxp_core.errors import AppCommandError, OptionError
from mlxp_core.overrides import literal, override
from mlxp_core.versioning.source_roots import Move, is_installed

# Names an open file that says what the process before this one, which started it from the safe copy, settled
_SETTLED = "MLXP_SETTLED_VERSION"
# What must be the same in the configuration of the safe copy, because it decided what was asked and what is launched
_DECISIVE = ("mode", "launcher", "sweeper", "callbacks")


class VersioningCallback(RecordingCallback):
    """Settles, once per command, which code runs; from the safe copy, the program starts itself again there.

    Args:
        untracked: what to do with files that git does not know: ask, add, ignore or refuse.
        uncommitted: what to do with changes: ask, commit, keep, ignore or refuse.
        run_from: where the code runs: ask, copy or repository.
        parent_work_dir: the directory of safe copies, relative to where the application is started.
        compute_requirements: whether to record what the code imports.
        links: untracked paths that the safe copy gets links to, relative to where the application is started.
    """

    def __init__(
        self,
        untracked: str = "ask",
        uncommitted: str = "ask",
        run_from: str = "ask",
        parent_work_dir: str = "./.workdir",
        compute_requirements: bool = False,
        links: Sequence[str] = (),
    ) -> None:
        self.options = {"untracked": untracked, "uncommitted": uncommitted, "run_from": run_from}
        self.parent_work_dir = Path(os.path.realpath(parent_work_dir))
        self.compute_requirements = compute_requirements
        self.links = tuple(Path(os.path.realpath(Path(link).parent), Path(link).name) for link in links)
        self.started_in = Path.cwd()

    @stops_hydra
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not in_job(config):
            self._settle(config)

    @stops_hydra
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._settle(config)

    def _settle(self, config: DictConfig) -> None:
        settled = os.environ.pop(_SETTLED, None)
        if settled is not None:
            self._take_over(config, settled)
            return
        from mlxp_core.versioning.repository import Repository
        from mlxp_core.versioning.settling import settle_version
        from mlxp_core.versioning.version import VersioningOptions

        options = VersioningOptions(
            **self.options,
            parent_work_dir=self.parent_work_dir,
            compute_requirements=self.compute_requirements,
            links=self.links,
        )
        app_file = _application_file()
        if options.run_from != "repository":
            current_app_command(config)  # fails before any question when the program cannot be started again
        repository = Repository.containing(app_file.parent)
        version = settle_version(options, repository, app_file)
        self.version = version.record()
        if version.safe_copy is not None:
            self._start_again(config, Move(repository.root, Path(version.safe_copy)))

    def _start_again(self, config: DictConfig, move: Move) -> None:
        """Replace this process by the same command in the safe copy."""
        command = current_app_command(config, move.path)
        cwd = move.directory(self.started_in)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        if (python_path := move.python_path()) is not None:
            environment["PYTHONPATH"] = python_path
        with tempfile.TemporaryFile("w+", encoding="utf-8") as file:
            settled = {"version": self.version, "started_in": str(self.started_in), "decisive": _decisive(config)}
            json.dump(settled, file)
            file.flush()
            os.set_inheritable(file.fileno(), True)
            environment |= {_SETTLED: str(file.fileno()), "PWD": str(cwd)}
            become(same_command(command, self._pins(config)), cwd=cwd, env=environment)

    def _pins(self, config: DictConfig) -> list[str]:
        """Overrides that keep in the original place what was relative to it."""
        pins = ["++hydra.callbacks.mlxp_versioning._target_=mlxp_core.callbacks.VersioningCallback"]
        for key in ("run", "sweep"):
            raw = str(_plain(config.hydra[key])["dir"])
            # What begins with an interpolation can be either; others are not resolved, because mlxp_logging's value
            # allocates a number
            if not Path(str(config.hydra[key].dir) if raw.startswith("${") else raw).is_absolute():
                pins.append(override(f"hydra.{key}.dir", f"{literal(str(self.started_in))}/{raw}"))
        if (logging := config.hydra.callbacks.get("mlxp_logging")) is not None:
            root = os.path.abspath(logging.get("parent_log_dir", "./logs"))
            pins.append(override("++hydra.callbacks.mlxp_logging.parent_log_dir", literal(root)))
        return pins

    def _take_over(self, config: DictConfig, settled: str) -> None:
        """Go on where the process that started this one from the safe copy left off."""
        with os.fdopen(int(settled), encoding="utf-8") as file:
            file.seek(0)
            before = json.load(file)
        self.version = before["version"]
        self.started_in = Path(before["started_in"])
        commit, root = before["version"]["commit_hash"], Path(before["version"]["repo_path"])
        now = _decisive(config)
        for name, value in before["decisive"].items():
            if now[name] != value:
                raise OptionError(
                    f"The configuration of commit {commit} has another hydra.{name} than the one here: commit the "
                    "configuration too, or keep it for this launch (hydra.callbacks.mlxp_versioning.uncommitted=keep)."
                )
        copy = Path(before["version"]["safe_copy"])
        for source in config.hydra.runtime.config_sources:
            path = Path(os.path.realpath(source.path))
            from_root = source.schema == "file" and path.is_relative_to(root) and not is_installed(path)
            if from_root and not path.is_relative_to(copy):
                raise OptionError(
                    f"The configuration in {path} would be read from the repository and not from its safe copy: name "
                    "it by a relative path, or by pkg://."
                )


def _application_file() -> Path:
    files = application_files()
    real = [Path(os.path.realpath(file.parent), file.name) for file in files]
    file = next((file for file in real if not is_installed(file)), None)
    if file is None:
        where = f"{real[0]} is installed" if real else "it has no file"
        raise AppCommandError(
            f"mlxp_versioning cannot say which code this application is: {where}. Start it from a file in a git "
            "repository, or install it with 'pip install -e'."
        )
    return file


def _decisive(config: DictConfig) -> dict[str, Any]:
    """The parts of a configuration that both processes must agree on, as plain data."""
    nodes = _plain(config.hydra)
    nodes["mode"] = str(nodes["mode"])
    nodes["callbacks"].get("mlxp_logging", {}).pop("parent_log_dir", None)  # pinned
    plain: dict[str, Any] = json.loads(json.dumps({name: nodes[name] for name in _DECISIVE}, default=str))
    return plain


def _plain(node: DictConfig) -> dict[str, Any]:
    """A node as it is written, its interpolations not resolved."""
    return cast(dict[str, Any], OmegaConf.to_container(node, resolve=False))
