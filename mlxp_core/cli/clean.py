"""`mlxp clean`: deletes safe copies that are no longer needed, and runs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core import console
from mlxp_core.cli.options import confirmed, directory_argument, run_paths, whole_list, yes
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
    commit, such as results. A deleted copy can be created again: your repository keeps the commit (refs/mlxp) as long
    as the record of a run names it.

    DIR is the directory of the runs (default: logs). Other directories of runs of the same repository are checked too;
    if one no longer exists, you are asked whether you deleted it. With --runs, the runs in DIR are deleted, except
    pending and running ones. Their numbers are not used again.

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

    from mlxp_core.actions.clean import delete_copy, find_copies, forget_missing
    from mlxp_core.actions.deletion import disk_usage
    from mlxp_core.cli.tables import print_table
    from mlxp_core.errors import MlxpError

    found = find_copies(directory)
    if not found.copies:
        say(f"There are no safe copies for the runs in {directory}.")
        return 0
    if found.missing and not yes and _were_deleted(found.missing):
        forget_missing(found.copies)
        found = find_copies(directory)
    for note in found.notes:
        say(note, sys.stderr)
    for copy in found.copies:
        if copy.reason:
            say(f"Kept: {short_path(copy.path)}\n  {copy.reason}.")
    unused = [copy for copy in found.copies if not copy.reason]
    if not unused:
        say("There is no safe copy to delete.")
        return 0
    sizes = [disk_usage(copy.path) for copy in unused]
    rows = [
        [short_path(copy.path), str(len(copy.users.runs)), decimal(size)]
        for copy, size in zip(unused, sizes, strict=True)
    ]
    print_table(["safe copy", "runs", "size"], rows)
    what = "this copy" if len(unused) == 1 else f"these {len(unused)} copies"
    if not confirmed(f"Delete {what} ({decimal(sum(sizes))})?", yes=yes):
        say("Nothing was deleted.")
        return 1
    failed = 0
    for copy in unused:
        try:
            reason = delete_copy(copy, directory)
        except MlxpError as error:
            say(str(error), sys.stderr)
            failed = 1
            continue
        path = short_path(copy.path)
        say(f"Kept: {path}\n  {reason}." if reason else f"Deleted: {path}")
    return failed


def _were_deleted(directories: Sequence[Path]) -> bool:
    """Ask whether the runs in missing directories were deleted; return False without a terminal."""
    from mlxp_core.prompts import has_terminal

    if not has_terminal():
        return False
    some = ["this directory of runs", "its"] if len(directories) == 1 else ["these directories of runs", "their"]
    say(f"Safe copies may be needed by runs in {some[0]}, which no longer exist{'s' * (len(directories) == 1)}:")
    for directory in directories:
        say(f"  {directory}")
    return confirmed(f"Did you delete {some[1]} runs (y), or move them (n)?", yes=False)


def _clean_runs(directory: Path, status: str, *, yes: bool) -> int:
    from mlxp_core.actions.clean_runs import choose_deletable
    from mlxp_core.actions.resubmit import lock_runs
    from mlxp_core.actions.selection import check_directory, check_own
    from mlxp_core.results.listing import check_statuses, list_runs

    check_directory(directory)
    words = {word.strip().upper() for word in status.split(",") if word.strip()}
    rows = list_runs(directory).rows
    check_statuses(words, rows)
    chosen = [row.run for row in rows if row.resolved.status in words]
    if not chosen:
        say("No matching runs.")
        return 0
    check_own(chosen)

    said: set[str] = set()

    def deletable(runs: Sequence[RunRecord]) -> Sequence[RunRecord]:
        choice = choose_deletable(runs, words)
        kept = [f"{run_paths([run])} is kept: {reason}." for run, reason in choice.kept]
        for text, stream in [*((note, sys.stderr) for note in choice.notes), *((line, sys.stdout) for line in kept)]:
            if text not in said:
                say(text, stream)
            said.add(text)
        return choice.runs

    with lock_runs(chosen):
        runs = deletable(chosen)
        if not runs or not _agreed(runs, yes=yes):
            return 1
        return _delete(deletable(runs), of=len(runs))  # checked again: the answer may have taken long


def _agreed(runs: Sequence[RunRecord], *, yes: bool) -> bool:
    from rich.filesize import decimal

    from mlxp_core.actions.deletion import disk_usage

    size = decimal(sum(disk_usage(run.directory.path) for run in runs))
    what = console.count(runs, "run")
    say(f"{what}: {run_paths(runs)}")
    place = "its directory" if len(runs) == 1 else "their directories"
    if confirmed(f"Delete {what} and everything in {place} ({size})?", yes=yes):
        return True
    say("Nothing was deleted.")
    return False


def _delete(runs: Sequence[RunRecord], *, of: int) -> int:
    """Delete runs; `of` is the number that the user confirmed."""
    from mlxp_core.actions.deletion import delete, remove_remains
    from mlxp_core.errors import MlxpError
    from mlxp_core.runs.start_lock import is_locked

    failed = int(len(runs) < of)
    say("Deleting ...")
    for parent in {run.directory.path.parent for run in runs}:
        remove_remains(parent)
    for run in runs:
        if is_locked(run.directory.lock):  # it started just now
            say(f"{run_paths([run])} is kept: it is RUNNING.")
            failed = 1
            continue
        try:
            delete(run.directory.path)
        except MlxpError as error:
            say(str(error), sys.stderr)
            failed = 1
    say("Not all runs could be deleted." if failed else "Done.")
    return failed
