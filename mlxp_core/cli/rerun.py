"""`mlxp rerun`: starts a run again, as a new run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mlxp_core.cli.options import in_directory, run_paths
from mlxp_core.console import say


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("overrides", metavar="[OVERRIDE...]", nargs=-1)
@click.option("-m", "--multirun", is_flag=True, hidden=True)
@in_directory
def rerun(run: str, overrides: tuple[str, ...], multirun: bool, directory: Path) -> None:
    """Start a run again, as a new run, with changed overrides.

    The new run has the same commit and the same overrides, plus those given here. It has its own directory, a numbered
    one if the old run has one. It runs here and now; with hydra/launcher=... it is submitted, and may be a sweep. If
    the old run used a safe copy of its commit, the new one does too; a deleted copy is made again.

    RUN is a number or the path of a run's directory.

    \b
    Examples:
      mlxp rerun 12
      mlxp rerun 12 hydra/launcher=slurm optimizer.lr=0.01,0.02
    """
    from mlxp_core.actions.rerun import rerun as rerun_run
    from mlxp_core.actions.selection import check_own, select_one
    from mlxp_core.commands import become
    from mlxp_core.errors import MlxpError
    from mlxp_core.sweeps.checks import check_outside_runs

    if multirun:
        raise click.UsageError(
            f"'mlxp rerun' has no option -m. To start a sweep, name a launcher: "
            f"mlxp rerun {run} hydra/launcher=slurm {' '.join(overrides) or 'seed=1,2'}"
        )
    check_outside_runs()
    found = select_one(run, directory)
    check_own([found])
    if found.problem:
        raise MlxpError(f"{run_paths([found])} cannot be started again: {found.problem}.")
    for text in overrides:
        if "=" not in text and not text.startswith("~"):
            raise click.UsageError(f"{text!r} is not an override. Write key=value, such as optimizer.lr=0.01.")
    new = rerun_run(found, overrides)
    if new.version is None:
        why = "ran from the repository itself" if found.info.get("version_manager") else "has no recorded commit"
        say(f"{run_paths([found])} {why}, so the new run uses the present code in {new.cwd}.", sys.stderr)
    with_these = f", with {' '.join(new.overrides)}" if new.overrides else ""
    say(f"Starting {run_paths([found])} again as a new run{with_these}\n", sys.stderr)
    with new.environment() as environment:
        become(new.argv, cwd=new.cwd, env=environment)
