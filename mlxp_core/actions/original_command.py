"""The command that started a run, from its launch's plan or its own records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlxp_core.errors import AppCommandError
from mlxp_core.launch.plan import Plan
from mlxp_core.runs.fast_yaml import load_yaml
from mlxp_core.runs.reader import RunRecord


@dataclass(frozen=True)
class OriginalCommand:
    """The command that started a run.

    Attributes:
        argv: Command line without overrides.
        python_path: PYTHONPATH at that time; None if it was not set.
        cwd: Working directory.
        overrides: All overrides, those of the sweep last.
        hydra: Composed `hydra` node, of the run or of its sweep; empty if neither is recorded.
        started_in: Directory in which the user started the launch, if its plan says that.
    """

    argv: Sequence[str]
    python_path: str | None
    cwd: Path
    overrides: Sequence[str]
    hydra: Mapping[str, Any]
    started_in: Path | None

    def callbacks(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Return the configured callbacks of one of our classes, by name."""
        nodes, target = self.hydra.get("callbacks") or {}, f"mlxp_core.callbacks.{kind}"
        return {name: node for name, node in nodes.items() if (node or {}).get("_target_") == target}


def read_original_command(run: RunRecord) -> OriginalCommand:
    """Return the command that started a run.

    Raises:
        AppCommandError: The run was not started by a command line, or the command is not recorded.
    """
    hydra = _hydra_node(run.directory.metadata / "hydra.yaml")
    if not hydra and run.launch is not None:  # the run never started
        hydra = _hydra_node(run.launch.directory.parent / "multirun.yaml")
    info = run.info
    plan = Plan.read(run.launch.directory / "plan.json") if run.launch is not None else None
    recorded = hydra.get("overrides", {})
    overrides = [*recorded.get("hydra", []), *recorded.get("task", [])]
    command = list(info.get("command") or [])
    environment, cwd, started_in = info.get("environment") or {}, info.get("work_dir"), None
    if plan is not None and run.launch is not None:
        groups = plan.runs[run.launch.runs[run.recorded_as]["place"]].job.overrides
        overrides = [text for group in groups[:2] for text in group]
        command, environment, cwd, started_in = list(plan.app.argv), plan.app.environment, plan.app.cwd, plan.started_in
    elif not command and info.get("executable") and info.get("current_file_path"):
        command = [str(info["executable"]), str(info["current_file_path"])]
        if (name := hydra.get("job", {}).get("config_name")) is not None:
            command += ["--config-name", str(name)]
    if not command or "mlxp_core.jobs.function_job" in command:
        raise AppCommandError(
            f"There is no command line for the application of {run.path}: it was a function in a notebook, or its "
            "record does not name one. Start it the way you did before."
        )
    if not overrides and not hydra:
        raise AppCommandError(
            f"The overrides of {run.path} are not recorded: it has no {run.directory.metadata}/hydra.yaml."
        )
    return OriginalCommand(command, environment.get("PYTHONPATH"), Path(cwd or "."), overrides, hydra, started_in)


def _hydra_node(file: Path) -> Mapping[str, Any]:
    """Return the `hydra` node that Hydra saved in a file; empty if it cannot be read."""
    try:
        node = load_yaml(file.read_bytes())["hydra"]
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        return {}
    return node if isinstance(node, dict) else {}
