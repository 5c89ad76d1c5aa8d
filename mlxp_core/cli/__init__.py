"""The `mlxp` command. Exit statuses: 0 all is well, 1 something failed, 2 wrong use."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlxp_core.cli.cancel import cancel
from mlxp_core.cli.clean import clean
from mlxp_core.cli.log import log
from mlxp_core.cli.ls import ls
from mlxp_core.cli.rerun import rerun
from mlxp_core.cli.resubmit import resubmit
from mlxp_core.cli.show import show
from mlxp_core.cli.watch import watch
from mlxp_core.errors import MlxpError, WrongUseError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Look after runs that were launched with hydra-mlxp.

    \b
    Examples: mlxp ls --status FAILED,TIMEOUT
              mlxp show 12
              mlxp log 12 -f
              mlxp watch
              mlxp resume
    """


@cli.command()
@click.argument("directory", metavar="[DIR]", default="logs", type=click.Path(path_type=Path, file_okay=False))
def resume(directory: Path) -> None:
    """Submit what a launch that was broken off did not get to.

    What the scheduler has already is never submitted again. DIR is the directory of numbered runs (default: logs), or
    that of one sweep.

    Example: mlxp resume logs/sweeps/2026-11-23_03-31-40_13137
    """
    from mlxp_core.launch.resume import resume as resume_launches

    resume_launches(directory.absolute())


for command in (ls, show, log, watch, cancel, resubmit, rerun, clean):
    cli.add_command(command)


def main() -> None:
    """Run the command; an error of ours is a sentence on stderr."""
    try:
        cli(prog_name="mlxp")
    except MlxpError as error:
        click.echo(error, err=True)
        sys.exit(2 if isinstance(error, WrongUseError) else 1)
