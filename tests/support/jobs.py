"""A job to make scripts of."""

from __future__ import annotations

from pathlib import Path

from mlxp_core.jobs.app_command import AppCommand
from mlxp_core.jobs.script import Job
from mlxp_core.runs.directory import RunDirectory


def a_job(path: str = "/home/me/tutorial/logs/5", name: str | None = None, **environment: str) -> Job:
    """Return a job of a run with some overrides."""
    return Job(
        name=name,
        run=RunDirectory(Path(path), "metadata"),
        app=AppCommand(("/home/me/.venv/bin/python", "-u", "main.py"), (), Path("/home/me/tutorial"), environment),
        overrides=(("lr=0.001", "seed=1"), ("hydra/launcher=x",), ("hydra.mode=RUN", f"hydra.run.dir={path}")),
    )
