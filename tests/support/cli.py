"""The command `mlxp`, as the application's user types it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from tests.programs import App, Result


def mlxp(app: App, *arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run the command in the application's directory."""
    return app.call(str(Path(app.python).with_name("mlxp")), *arguments, env=env)


def statuses(app: App, *arguments: str) -> dict[str, str]:
    """Return the status that `mlxp ls` shows for each run, by its number."""
    return {run: status for run, (status, _) in listed(app, *arguments).items()}


def listed(app: App, *arguments: str, env: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    """Return the status and the reason that `mlxp ls` shows for each run, by its number."""
    result = mlxp(app, "ls", "--json", *arguments, env=env)
    assert result.status == 0, result.text
    return {row["run"]: (row["status"], row["reason"] or "") for row in json.loads(result.stdout)}


def statuses_in_order(app: App, env: Mapping[str, str] | None = None) -> list[str]:
    """Return the statuses that `mlxp ls` shows, in the order of the runs."""
    return [status for status, _ in listed(app, env=env).values()]


def forgetting(app: App) -> dict[str, str]:
    """An environment in which SLURM has forgotten all jobs, as it does without accounts after some minutes."""
    app.write("forgetting/squeue", "#!/bin/sh\n").chmod(0o755)
    app.write("forgetting/sacct", "#!/bin/sh\necho 'Slurm accounting storage is disabled' >&2\nexit 1\n").chmod(0o755)
    return {"PATH": f"{app.directory}/forgetting:{app.environment['PATH']}"}
