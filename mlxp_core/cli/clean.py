"""`mlxp clean`: deletes safe copies that are no longer needed, and runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core import console
from mlxp_core.cli.options import confirmed, directory_argument, run_paths, status_and_reason, whole_list, yes
from mlxp_core.console import say
from mlxp_core.paths import short_path

if TYPE_CHECKING:
    from mlxp_core.runs.reader import RunRecord


@click.command()
@directory_argument
@click.option("--runs", "of_runs", is_flag=True, help="Delete runs instead of safe copies; needs --status.")
@click.option(
    "--status",
    metavar="WORD,...",
    callback=whole_list,
    help="Delete runs with one of these statuses, such as FAILED,TIMEOUT; needs --runs.",
)
@yes
def clean(directory: Path, of_runs: bool, status: str | None, yes: bool) -> None:
    """Delete safe copies that no run needs, or runs, after a question.

    A safe copy of a commit is kept until all runs that use it are COMPLETE, because the others are pending, running, or
    may be submitted again. It is also kept while a launch may be using it, and if it contains files that are in no
    commit, such as results. A deleted copy can be made again: your repository keeps the commit (refs/mlxp) as long as
    the record of a run names it.

    DIR is the directory of the runs (default: logs). Other directories of runs of the same repository are checked too.
    With --runs, the runs in DIR are deleted, except pending and running ones. Their numbers are not used again.

    \b
    Examples:
      mlxp clean
      mlxp clean --runs --status FAILED,CANCELLED
    """
    if of_runs != (status is not None):
        raise click.UsageError("--runs and --status go together.")
    sys.exit(_clean_runs(directory, status, yes=yes) if status is not None else _clean_copies(directory, yes=yes))


def _clean_copies(directory: Path, *, yes: bool) -> int:
    from rich.filesize import decimal

    from mlxp_core.actions.clean import delete_copy, disk_usage, find_copies
    from mlxp_core.cli.tables import print_table
    from mlxp_core.errors import MlxpError

    copies = find_copies(directory)
    if not copies:
        say(f"There are no safe copies for the runs in {directory}.")
        return 0
    for copy in copies:
        if copy.reason:
            say(f"Kept: {short_path(copy.path)}\n  {copy.reason}.")
    unused = [copy for copy in copies if not copy.reason]
    if not unused:
        say("There is no safe copy to delete.")
        return 0
    sizes = [disk_usage(copy.path) for copy in unused]
    rows = [
        [short_path(copy.path), str(len(copy.runs)), decimal(size)] for copy, size in zip(unused, sizes, strict=True)
    ]
    print_table(["safe copy", "runs", "size"], rows)
    what = "this copy" if len(unused) == 1 else f"these {len(unused)} copies"
    if not confirmed(f"Delete {what} ({decimal(sum(sizes))})?", yes=yes):
        say("Nothing was deleted.")
        return 1
    failed = 0
    for copy in unused:
        try:
            is_deleted = delete_copy(copy, directory)
        except MlxpError as error:
            say(str(error), sys.stderr)
            failed = 1
            continue
        path = short_path(copy.path)
        say(f"Deleted: {path}" if is_deleted else f"Kept: {path}\n  it is used by now, or already deleted.")
    return failed


def _clean_runs(directory: Path, status: str, *, yes: bool) -> int:
    from mlxp_core.actions.resubmit import lock_runs
    from mlxp_core.actions.selection import check_directory, check_own
    from mlxp_core.results.listing import check_statuses, list_runs
    from mlxp_core.status.resolver import StatusResolver

    check_directory(directory)
    words = {word.strip().upper() for word in status.split(",") if word.strip()}
    rows = list_runs(directory).rows
    check_statuses(words, rows)
    chosen = [row.run for row in rows if row.resolved.status in words]
    if not chosen:
        say("No matching runs.")
        return 0
    check_own(chosen)
    with lock_runs(chosen) as now:
        states = StatusResolver()
        statuses = states.resolve(now)
        for note in states.notes:
            say(note, sys.stderr)
        runs: list[RunRecord] = []
        for run, resolved in zip(now, statuses, strict=True):
            path = run.directory.path
            unsubmitted = run.is_unsubmitted and not (run.launch is not None and run.launch.dry_run)
            silent = run.scheduler in states.unresponsive and bool(run.job_ids)
            if not resolved.is_finished or unsubmitted or silent or resolved.status not in words:
                say(f"{run_paths([run])} is kept: {status_and_reason(resolved)}.")
            elif path.is_symlink():
                say(f"{run_paths([run])} is kept: it is a symbolic link to {path.resolve()}. Delete both yourself.")
            else:
                runs.append(run)
        return _delete_runs(runs, yes=yes) if runs else 1


def _delete_runs(runs: Sequence[RunRecord], *, yes: bool) -> int:
    from rich.filesize import decimal

    from mlxp_core.actions.clean import delete, disk_usage, remove_remains
    from mlxp_core.errors import MlxpError

    size = decimal(sum(disk_usage(run.directory.path) for run in runs))
    what = console.count(runs, "run")
    say(f"{what}: {run_paths(runs)}")
    if not confirmed(
        f"Delete {what} and everything in {'its directory' if len(runs) == 1 else 'their directories'} ({size})?",
        yes=yes,
    ):
        say("Nothing was deleted.")
        return 1
    failed = 0
    say("Deleting ...")
    for parent in {run.directory.path.parent for run in runs}:
        remove_remains(parent)
    for run in runs:
        try:
            delete(run.directory.path)
        except MlxpError as error:
            say(str(error), sys.stderr)
            failed = 1
    say("Not all runs could be deleted." if failed else "Done.")
    return failed
