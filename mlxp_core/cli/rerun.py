"""`mlxp rerun`: starts a run another time, as a new one."""

from __future__ import annotations

from pathlib import Path

import click

from mlxp_core.cli.options import in_directory, names


@click.command()
@click.argument("run", metavar="RUN")
@click.argument("overrides", metavar="[OVERRIDE...]", nargs=-1)
@in_directory
def rerun(run: str, overrides: tuple[str, ...], directory: Path) -> None:
    """Start a run another time, as a new run: the same commit and overrides, and these on top.

    RUN is a number or the path of a run's directory. The new run has a directory of its own, numbered ones in the same
    directory of runs. It runs here and now; with hydra/launcher=... it is launched, and may be a sweep. Where the run
    was run from a safe copy of its commit, the new one is too; the copy is made again if it was deleted.

    \b
    Examples: mlxp rerun 12
              mlxp rerun 12 hydra/launcher=slurm optimizer.lr=0.01,0.02
    """
    from mlxp_core.actions.rerun import rerun as rerun_run
    from mlxp_core.actions.selection import check_own, select_one
    from mlxp_core.commands import become
    from mlxp_core.errors import MlxpError
    from mlxp_core.sweeps.checks import check_outside_runs

    check_outside_runs()
    found = select_one(run, directory)
    check_own([found])
    if found.problem:
        raise MlxpError(f"{names([found])} cannot be started again: {found.problem}.")
    for text in overrides:
        if "=" not in text and not text.startswith("~"):
            raise click.UsageError(f"{text!r} is no override, such as optimizer.lr=0.01.")
    new = rerun_run(found, overrides)
    if new.settled is None:
        why = "ran from the repository itself" if found.info.get("version_manager") else "has no recorded commit"
        click.echo(f"{names([found])} {why}, so the code is that of today in {new.cwd}.", err=True)
    with_these = f", with {' '.join(new.overrides)}" if new.overrides else ""
    click.echo(f"Starting {names([found])} another time{with_these}\n", err=True)
    with new.environment() as environment:
        become(new.argv, cwd=new.cwd, env=environment)
