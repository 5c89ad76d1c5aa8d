"""`mlxp clean`: deletes safe copies that no run needs any more, and runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core.cli.options import confirmed, names, yes

if TYPE_CHECKING:
    from mlxp_core.runs.reader import RunRecord


@click.command()
@click.argument("directory", metavar="[DIR]", default="logs", type=click.Path(path_type=Path))
@click.option("--runs", "of_runs", is_flag=True, help="Delete runs, not safe copies; needs --status.")
@click.option("--status", metavar="WORD,...", help="Runs of these statuses: FAILED,TIMEOUT.")
@yes
def clean(directory: Path, of_runs: bool, status: str | None, yes: bool) -> None:
    """Delete the safe copies that no run needs any more, after a question.

    A copy is needed by the runs whose records name it, until they are COMPLETE: others wait, run, or may run again. It
    is also kept while a launch may be using it, and when it holds files that no commit has, such as results. A commit
    stays in your repository (refs/mlxp) as long as the record of any run names it; a deleted copy can be made again.

    DIR is the directory of the runs (default: logs); all other directories of runs from the same repository are looked
    at too. With --runs, it is the runs in DIR that are deleted, none that waits or runs; their numbers are not given
    again.

    \b
    Examples: mlxp clean
              mlxp clean --runs --status FAILED,CANCELLED
    """
    if of_runs != (status is not None):
        raise click.UsageError("--runs and --status go together.")
    sys.exit(_clean_runs(directory, status, yes=yes) if status is not None else _clean_copies(directory, yes=yes))


def _clean_copies(directory: Path, *, yes: bool) -> int:
    from mlxp_core.actions.clean import delete_copy, find_copies, size
    from mlxp_core.cli.tables import print_table
    from mlxp_core.errors import MlxpError

    copies = find_copies(directory)
    if not copies:
        click.echo(f"There are no safe copies of the runs in {directory}.")
        return 0
    for copy in copies:
        if copy.reason:
            click.echo(f"Kept: {_shown(copy.path)}\n  {copy.reason}.")
    free = [copy for copy in copies if not copy.reason]
    if not free:
        click.echo("There is no safe copy that nobody needs.")
        return 0
    sizes = [size(copy.path) for copy in free]
    rows = [[_shown(copy.path), str(len(copy.runs)), _bytes(one)] for copy, one in zip(free, sizes, strict=True)]
    print_table(["safe copy", "runs", "size"], rows)
    what = "this copy" if len(free) == 1 else f"these {len(free)} copies"
    if not confirmed(f"Delete {what} ({_bytes(sum(sizes))})?", yes=yes):
        click.echo("Nothing was deleted.")
        return 1
    failed = 0
    for copy in free:
        try:
            is_deleted = delete_copy(copy, directory)
            what = "is deleted." if is_deleted else "is kept: something needs it now, or it is gone."
            click.echo(f"{_shown(copy.path)} {what}")
        except MlxpError as error:
            click.echo(error, err=True)
            failed = 1
    return failed


def _clean_runs(directory: Path, status: str, *, yes: bool) -> int:
    from mlxp_core.actions.resubmit import lock_runs
    from mlxp_core.actions.selection import check_own
    from mlxp_core.results.listing import check_statuses, list_runs
    from mlxp_core.status.resolver import StatusResolver

    words = {word.strip().upper() for word in status.split(",") if word.strip()}
    rows = list_runs(directory).rows
    check_statuses(words, rows)
    chosen = [row.run for row in rows if row.resolved.status in words]
    if not chosen:
        click.echo("No run is like that.")
        return 0
    check_own(chosen)
    with lock_runs(chosen) as now:
        states = StatusResolver()
        pairs = list(zip(now, states.resolve(now), strict=True))
        for note in states.notes:
            click.echo(note, err=True)
        runs: list[RunRecord] = []
        for run, resolved in pairs:
            unsubmitted = run.is_unsubmitted and not (run.launch is not None and run.launch.dry_run)
            silent = run.scheduler in states.silent and run.first_job_id is not None
            if not resolved.is_over or unsubmitted or silent or resolved.status not in words:
                click.echo(
                    f"{names([run])} is kept: {resolved.status}{f' ({resolved.reason})' * bool(resolved.reason)}."
                )
            else:
                runs.append(run)
        return _delete_runs(runs, yes=yes) if runs else 1


def _delete_runs(runs: Sequence[RunRecord], *, yes: bool) -> int:
    from mlxp_core.actions.clean import delete, remove_remains, size
    from mlxp_core.errors import MlxpError

    room = _bytes(sum(size(run.directory.path) for run in runs))
    what = "run" if len(runs) == 1 else "runs"
    click.echo(f"{len(runs)} {what}: {names(runs)}")
    if not confirmed(f"Delete {len(runs)} {what} with all that is in them ({room})?", yes=yes):
        click.echo("Nothing was deleted.")
        return 1
    failed = 0
    click.echo("Deleting ...")
    for place in {run.directory.path.parent for run in runs}:
        remove_remains(place)
    for run in runs:
        try:
            delete(run.directory.path)
        except MlxpError as error:
            click.echo(error, err=True)
            failed = 1
    click.echo("Done." if not failed else "Not all could be deleted.")
    return failed


def _shown(path: Path) -> str:
    from mlxp_core.paths import short_path

    return short_path(path, Path.cwd())


def _bytes(number: int) -> str:
    """A size as people say it: `1.2 GB`."""
    amount = float(number)
    for unit in ("bytes", "kB", "MB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}"
        amount /= 1000
    return f"{amount:.1f} GB"
