"""`mlxp cancel`: ends runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core.cli.options import confirmed, in_directory, names, yes

if TYPE_CHECKING:
    from mlxp_core.actions.cancel import Cancellation, CheckedRun

# More runs than this are counted, and not named one by one
_NAMED = 20


@click.command()
@click.argument("runs", metavar="RUN...", nargs=-1)
@click.option("--all", "all_runs", is_flag=True, help="All runs of DIR that wait or run.")
@yes
@in_directory
def cancel(runs: tuple[str, ...], all_runs: bool, yes: bool, directory: Path) -> None:
    """End runs that wait or run, on a scheduler or on this machine; asks first.

    RUN is a number (5), a range (3-7), a list (1,4,9) or the path of a run's directory. Exit status 1 if one of them
    is not over then.

    \b
    Examples: mlxp cancel 3-7
              mlxp cancel --all -y
    """
    from mlxp_core.actions.cancel import Cancellation
    from mlxp_core.actions.selection import check_own, select_runs
    from mlxp_core.runs.reader import RunReader

    if bool(runs) == all_runs:
        raise click.UsageError("Name runs, or give --all.")
    found = RunReader(directory).read() if all_runs else select_runs(runs, directory)
    check_own(found)
    cancellation = Cancellation(found)
    for note in cancellation.notes:
        click.echo(note, err=True)
    if cancellation.over and (not all_runs or not cancellation.open):
        _say_over(cancellation.over)
    for run, reason in cancellation.impossible:
        click.echo(f"{names([run])} cannot be cancelled from here: {reason}.", err=True)
    failed = bool(cancellation.impossible)
    if cancellation.open:
        failed = not _cancel(cancellation, yes=yes) or failed
    sys.exit(int(failed))


def _cancel(cancellation: Cancellation, *, yes: bool) -> bool:
    """Ask, end them, and tell what is so then; whether all are over."""
    _say(cancellation.open)
    if cancellation.beside:
        click.echo("These share a job with them, and end with it:")
        _say(cancellation.beside)
    number = len(cancellation.open) + len(cancellation.beside)
    if not confirmed(f"Cancel {number} {'run' if number == 1 else 'runs'}?", yes=yes):
        click.echo("Nothing was cancelled.")
        return False
    problems = cancellation.cancel()
    for problem in problems:
        click.echo(problem, err=True)
    before = len(cancellation.notes)
    if problems:
        now = cancellation.outcome(patience_s=0)
    else:
        click.echo("Waiting a moment for their end ...")
        now = cancellation.outcome()
    click.echo("Now:")
    _say(now)
    for note in cancellation.notes[before:]:
        click.echo(note, err=True)
    going_on = [run for run, resolved in now if not resolved.is_finished]
    if going_on and not problems:
        click.echo(f"{names(going_on)}: not over yet; look again with 'mlxp ls'.", err=True)
    return not going_on and not problems


def _say_over(over: Sequence[CheckedRun]) -> None:
    if len(over) > _NAMED:
        click.echo(f"{len(over)} runs were over already: {_counted(over)}.")
        return
    for run, resolved in over:
        reason = f" ({resolved.reason})" if resolved.reason else ""
        click.echo(f"{names([run])} was over already: {resolved.status}{reason}")


def _say(runs: Sequence[CheckedRun]) -> None:
    from mlxp_core.cli.tables import plain_lines

    if len(runs) > _NAMED:
        click.echo(f"  {names([run for run, _ in runs])}: {_counted(runs)}")
        return
    rows = []
    for run, resolved in runs:
        job = f"job {run.job_id}" if run.job_id else f"process {run.info.get('process_id')}"
        rows.append([f"  {names([run])}", resolved.status, job, " ".join(run.overrides)])
    for line in plain_lines(rows):
        click.echo(line)


def _counted(runs: Sequence[CheckedRun]) -> str:
    return ", ".join(f"{number} {status}" for status, number in Counter(one.resolved.status for one in runs).items())
