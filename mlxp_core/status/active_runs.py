"""Refusing run directories that a pending or running run uses."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mlxp_core.errors import RunDirectoryError
from mlxp_core.runs.reader import RunReader
from mlxp_core.status.resolver import StatusResolver


def check_not_running(directories: Sequence[Path]) -> None:
    """Check that the runs in some directories are finished, as far as can be determined.

    Args:
        directories: Run directories that have a record.

    Raises:
        RunDirectoryError: A run is pending or running; the message names it and its job.
    """
    if not directories:
        return
    runs = RunReader(directories[0].parent).read_some(directories)
    for run, resolved in zip(runs, StatusResolver().resolve(runs), strict=True):
        if not resolved.is_finished:
            job = f", job {', '.join(resolved.jobs)}" if resolved.jobs else ""
            reason = f", {resolved.reason}" if resolved.reason else ""
            raise RunDirectoryError(
                f"The run in {run.directory.path} is not finished ({resolved.status}{job}{reason}), and another run "
                "would overwrite it. Wait for it, cancel it, or choose another directory."
            )
