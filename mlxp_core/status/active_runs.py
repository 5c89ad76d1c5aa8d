"""Two runs must not write into one directory at the same time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlxp_core.errors import RunDirectoryError
from mlxp_core.runs.reader import RunReader
from mlxp_core.status.resolver import StatusResolver


def check_not_running(directories: Sequence[Path]) -> None:
    """Refuse directories whose run still waits or runs, as far as anybody can tell.

    Args:
        directories: each with a run's record in it.

    Raises:
        RunDirectoryError: there is one; the message names it and its job.
    """
    if not directories:
        return
    runs = RunReader(directories[0].parent).read_some(directories)
    for run, resolved in zip(runs, StatusResolver().resolve(runs), strict=True):
        if not resolved.is_finished:
            job = f", job {run.job_id}" if run.job_id else ""
            reason = f", {resolved.reason}" if resolved.reason else ""
            raise RunDirectoryError(
                f"The run in {run.directory.path} is not over ({resolved.status}{job}{reason}), and another one would "
                "write over it: wait for it or cancel it, or choose another directory."
            )
