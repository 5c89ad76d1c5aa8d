"""`mlxp resubmit`: runs the scripts of runs again."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core.cli.options import confirmed, in_directory, names, yes

if TYPE_CHECKING:
    from mlxp_core.actions.resubmit import Choice
    from mlxp_core.runs.reader import RunRecord


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1)
@click.option("--failed", is_flag=True, help="All runs of DIR that are over and did not complete, as far as is known.")
@click.option("--n-jobs", type=click.IntRange(1), help="Runs of this machine at a time. Default: the number of cores.")
@yes
@in_directory
def resubmit(runs: tuple[str, ...], failed: bool, n_jobs: int | None, yes: bool, directory: Path) -> None:
    """Submit runs again: the same script, in the same directory, with the same commit and options.

    RUN is a number (5), a range (3-7), a list (1,4,9) or the path of a run's directory. A run that waits or runs is
    never submitted again. What each printed before is kept; the results in its directory are written over, so for runs
    that are COMPLETE, and those that are UNKNOWN, there is a question first. --failed leaves out those that are UNKNOWN
    or CANCELLED. Runs of hydra/launcher=local run here.

    \b
    Examples: mlxp resubmit 3-7
              mlxp resubmit --failed
    """
    from mlxp_core.actions.resubmit import choose, lock_runs
    from mlxp_core.actions.selection import check_own
    from mlxp_core.sweeps.checks import check_outside_runs

    if bool(runs) == failed:
        raise click.UsageError("Name runs, or give --failed.")
    check_outside_runs()
    found = _failed(directory) if failed else _named(runs, directory)
    if not found:
        click.echo("No run has failed.")
        return
    check_own(found)
    with lock_runs(found) as now:
        choice = choose(now)
        for note in choice.notes:
            click.echo(note, err=True)
        for run, reason in choice.refused:
            click.echo(f"{names([run])} is not submitted: {reason}.", err=True)
        is_well = not choice.refused
        if choice.runs and _agreed(choice, yes=yes):
            is_well = _submit([run for run, _ in choice.runs], n_jobs) and is_well
        elif choice.runs:
            click.echo("Nothing was submitted.")
            is_well = False
    sys.exit(int(not is_well))


def _named(runs: Sequence[str], directory: Path) -> list[RunRecord]:
    from mlxp_core.actions.selection import select_runs

    return select_runs(runs, directory)


def _failed(directory: Path) -> list[RunRecord]:
    from mlxp_core.runs.reader import RunReader
    from mlxp_core.status.resolver import StatusResolver

    runs, states = RunReader(directory).read(), StatusResolver()
    pairs = list(zip(runs, states.resolve(runs), strict=True))
    for status, why in (("UNKNOWN", "nobody can know any more how they ended"), ("CANCELLED", "somebody wanted it")):
        left_out = [run for run, resolved in pairs if resolved.status == status]
        if left_out:
            click.echo(f"Left out, {status} ({why}); name them to submit them: {names(left_out)}")
    others = ("UNKNOWN", "CANCELLED", "NOT_SUBMITTED")
    failed = [run for run, resolved in pairs if resolved.has_failed and resolved.status not in others]
    if not failed:
        for note in states.notes:
            click.echo(note, err=True)
    return failed


def _agreed(choice: Choice, *, yes: bool) -> bool:
    if not choice.doubtful:
        return True
    numbers = Counter(resolved.status for _, resolved in choice.doubtful)
    what = " and ".join(f"{number} {status}" for status, number in numbers.items())
    click.echo(f"What they wrote is written over: {what} ({names([run for run, _ in choice.doubtful])}).")
    return confirmed("Run them again in their directories?", yes=yes)


def _submit(runs: Sequence[RunRecord], n_jobs: int | None) -> bool:
    """Submit them, or run them here; whether all is well."""
    from mlxp_core.actions.rerun_local import lock_local_runs, run_here
    from mlxp_core.actions.resubmit import submit_again
    from mlxp_core.paths import short_path
    from mlxp_core.runs.reader import LOCAL

    batch = [run for run in runs if run.scheduler != LOCAL]
    here = [run for run in runs if run.scheduler == LOCAL]
    if batch:
        number = submit_again(batch)
        click.echo(f"{number} {'run' if number == 1 else 'runs'} submitted again; 'mlxp ls' shows them.")
    if not here:
        return True
    with lock_local_runs([run.directory for run in here]) as free:
        taken = [run for run in here if run.directory not in free]
        if taken:
            click.echo(f"{names(taken)} is not run: another process is about to.", err=True)
        failed = run_here(free, n_jobs, lambda path: short_path(path, Path.cwd())) if free else 0
    return not (taken or failed)
