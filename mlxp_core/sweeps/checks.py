"""What is refused of a sweep, whatever runs it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from hydra.types import HydraContext

from mlxp_core.config.override_grammar import key_of
from mlxp_core.errors import LaunchInsideRunError, OptionError, RunDirectoryError
from mlxp_core.jobs.script import RUN_MARKER
from mlxp_core.launch.plan import PlannedRun

# Keeps the record of a run, in its job
JOB_CALLBACK = "mlxp_core.callbacks.JobCallback"


def check_outside_runs() -> None:
    """A run must not launch runs.

    Raises:
        LaunchInsideRunError: this process is one.
    """
    if RUN_MARKER in os.environ:
        raise LaunchInsideRunError(
            f"The run {os.environ[RUN_MARKER]} tried to launch runs: start sweeps from a login node or an "
            f"interactive job (or unset {RUN_MARKER}, if this is no run any more)."
        )


def check_whitelist(hydra_context: HydraContext) -> None:
    """Hydra 1.4 can forbid targets that the application does not name; our callback in the job is one."""
    allowed = getattr(hydra_context, "execution_whitelist", None)
    if isinstance(allowed, tuple) and not {JOB_CALLBACK, "mlxp_core.callbacks.*", "mlxp_core.*"} & set(allowed):
        raise OptionError(
            "This application allows Hydra the targets of execution_whitelist alone: add 'mlxp_core.callbacks.*' to "
            "it in @hydra.main, so that its jobs can record their state."
        )


def check_shell(shell: str) -> None:
    """Refuse a shell that cannot read the scripts."""
    if shutil.which(shell) is None:
        raise OptionError(
            f"The shell '{shell}' is not on this machine: name another one by hydra.launcher.shell_path, or in the "
            "project's mlxpy.yaml by scheduler.shell_path."
        )


def check_one_request(job_overrides: Sequence[tuple[str, ...]]) -> None:
    """All runs of a launch are asked for alike. Hydra 1.3 ignores a sweep over its launcher, 1.4 refuses it."""
    for text in (text for overrides in job_overrides for text in overrides):
        if text.lstrip("+~").startswith(("hydra.launcher", "hydra/launcher")):
            raise OptionError(
                f"One launch makes one request, so {key_of(text)} cannot differ between the runs of a sweep ({text}): "
                "start one command for each value."
            )


def check_distinct(runs: Sequence[PlannedRun]) -> None:
    """No two runs share a directory."""
    seen: dict[Path, PlannedRun] = {}
    for run in runs:
        other = seen.setdefault(run.job.run.path, run)
        if other is not run:
            raise RunDirectoryError(
                f"Two runs of this sweep would share the directory {run.job.run.path}: put ${{hydra.job.num}} into "
                "hydra.sweep.subdir, or number the runs with hydra/callbacks=mlxp_logging."
            )
