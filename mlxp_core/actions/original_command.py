"""How a run was started: its application's command, and all that it was given."""

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
    """How a run was started.

    Attributes:
        argv: the command, up to its overrides.
        python_path: PYTHONPATH then, if there was one.
        cwd: where.
        overrides: all that it was given, its own ones last.
        hydra: its composed `hydra` node; empty when it never started.
        started_in: where the user started the program, if its plan says that.
    """

    argv: Sequence[str]
    python_path: str | None
    cwd: Path
    overrides: Sequence[str]
    hydra: Mapping[str, Any]
    started_in: Path | None

    def callbacks(self, kind: str) -> dict[str, Mapping[str, Any]]:
        """Its callbacks of one of our classes, by their names."""
        nodes, target = self.hydra.get("callbacks") or {}, f"mlxp_core.callbacks.{kind}"
        return {name: node for name, node in nodes.items() if (node or {}).get("_target_") == target}


def read_start(run: RunRecord) -> OriginalCommand:
    """How a run was started, by its launch's plan, or by its own records.

    Raises:
        AppCommandError: no command line did that, or nobody knows it.
    """
    try:
        hydra = load_yaml((run.directory.metadata / "hydra.yaml").read_bytes())["hydra"]
    except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError):
        hydra = {}
    info = run.info
    plan = Plan.read(run.launch.directory / "plan.json") if run.launch is not None else None
    given = hydra.get("overrides", {})
    overrides = [*given.get("hydra", []), *given.get("task", [])]
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
    if not command or "mlxp_core.sweeps.function_job" in command:
        raise AppCommandError(
            f"No command line starts the application of {run.path} (it was a notebook's function, or its record does "
            "not say): start it as you did then."
        )
    if not overrides and not hydra:
        raise AppCommandError(
            f"Nobody knows the overrides of {run.path}: it has no {run.directory.metadata}/hydra.yaml."
        )
    return OriginalCommand(command, environment.get("PYTHONPATH"), Path(cwd or "."), overrides, hydra, started_in)
