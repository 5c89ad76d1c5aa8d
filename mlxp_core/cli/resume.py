"""`mlxp resume`: submits or starts what an interrupted launch did not."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("directory", metavar="[DIR]", default="logs", type=click.Path(path_type=Path, file_okay=False))
def resume(directory: Path) -> None:
    """Submit or start the remaining runs of an interrupted launch.

    Use it after Ctrl-C, a full disk or a lost connection during a launch. It finds out which runs the scheduler already
    has, and submits only the others; no run is submitted twice. Runs of hydra/launcher=local that a killed launch has
    not started are started here, and it waits for them. If all runs are submitted, it does nothing.

    DIR is the directory of the numbered runs (default: logs), or the directory of one sweep.

    \b
    Examples:
      mlxp resume
      mlxp resume logs/sweeps/2026-11-23_03-31-40_13137
    """
    from mlxp_core.launch.resume import resume as resume_launches

    resume_launches(directory.absolute())
