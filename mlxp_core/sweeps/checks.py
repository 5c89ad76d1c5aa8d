"""Checks of a sweep that do not depend on its scheduler."""

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
    """Refuse to launch runs from a run.

    Raises:
        LaunchInsideRunError: This process belongs to a run.
    """
    if RUN_MARKER in os.environ:
        raise LaunchInsideRunError(
            f"The run {os.environ[RUN_MARKER]} tried to launch runs. Start sweeps from a login node or an interactive "
            f"job; if this process does not belong to a run, unset {RUN_MARKER}."
        )


def check_whitelist(hydra_context: HydraContext) -> None:
    """Check that Hydra 1.4 may instantiate the callback that jobs need.

    Raises:
        OptionError: The application's execution_whitelist does not contain it.
    """
    allowed = getattr(hydra_context, "execution_whitelist", None)
    if isinstance(allowed, tuple) and not {JOB_CALLBACK, "mlxp_core.callbacks.*", "mlxp_core.*"} & set(allowed):
        raise OptionError(
            "The execution_whitelist of this application does not contain the callback that records the status of "
            "jobs. Add 'mlxp_core.callbacks.*' to it in @hydra.main."
        )


def check_shell(shell: str) -> None:
    """Check that the shell that reads the scripts exists.

    Raises:
        OptionError: There is no such program.
    """
    if shutil.which(shell) is None:
        raise OptionError(
            f"The shell '{shell}' is not on this machine. Choose another one with hydra.launcher.shell_path, or with "
            "scheduler.shell_path in the project's mlxpy.yaml."
        )


def check_one_request(job_overrides: Sequence[tuple[str, ...]]) -> None:
    """Refuse a sweep over launcher options. Hydra 1.3 ignores those values silently, 1.4 refuses them itself.

    Raises:
        OptionError: A job has an override of the launcher.
    """
    for text in (text for overrides in job_overrides for text in overrides):
        if text.lstrip("+~").startswith(("hydra.launcher", "hydra/launcher")):
            raise OptionError(
                f"{key_of(text)} cannot be swept over ({text}): all runs of a launch share one request. Start one "
                "command for each value."
            )


def check_distinct(runs: Sequence[PlannedRun]) -> None:
    """Check that no two runs have the same directory.

    Raises:
        RunDirectoryError: Two have.
    """
    seen: dict[Path, PlannedRun] = {}
    for run in runs:
        other = seen.setdefault(run.job.run.path, run)
        if other is not run:
            raise RunDirectoryError(
                f"Two runs of this sweep would share the directory {run.job.run.path}. Put ${{hydra.job.num}} into "
                "hydra.sweep.subdir, or number the runs with hydra/callbacks=mlxp_logging."
            )
