"""`mlxp resubmit`: submits the scripts of runs again."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core.cli.options import confirmed, in_directory, run_paths, yes
from mlxp_core.console import count, say

if TYPE_CHECKING:
    from mlxp_core.actions.resubmit import Choice
    from mlxp_core.runs.reader import RunRecord


@click.command()
@click.argument("runs", metavar="[RUN...]", nargs=-1)
@click.option("--failed", is_flag=True, help="All runs of DIR that finished without completing.")
@click.option(
    "--n-jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Maximum number of concurrent runs on this machine.  [default: number of cores]",
)
@yes
@in_directory
def resubmit(runs: tuple[str, ...], failed: bool, n_jobs: int | None, yes: bool, directory: Path) -> None:
    """Submit runs again, in the same directories.

    The script of each run is submitted again, with the same commit and options; a deleted safe copy is created again.
    Pending and running runs are never resubmitted. The logs of earlier attempts are kept, but results in the directory
    are overwritten; it asks before it resubmits runs that are COMPLETE or UNKNOWN. --failed skips UNKNOWN and CANCELLED
    runs, and runs that were never submitted, which 'mlxp resume' submits. Runs of hydra/launcher=local run on this
    machine.

    RUN is a number (5), a range (3-7), a list (1,4,9) or the path of a run's directory.

    \b
    Examples:
      mlxp resubmit 3-7
      mlxp resubmit --failed
    """
    from mlxp_core.actions.deleted_copies import create_deleted_copies
    from mlxp_core.actions.resubmit import choose, lock_runs
    from mlxp_core.actions.selection import check_own, select_runs
    from mlxp_core.sweeps.checks import check_outside_runs

    if bool(runs) == failed:
        raise click.UsageError("Name runs, or give --failed.")
    check_outside_runs()
    found = _failed(directory) if failed else select_runs(runs, directory)
    if not found:
        say("No run has failed.")
        return
    check_own(found)
    with lock_runs(found) as now:
        choice = choose(now)
        for note in choice.notes:
            say(note, sys.stderr)
        for run, reason in choice.refused:
            say(f"{run_paths([run])} is not submitted: {reason}.", sys.stderr)
        succeeded = not choice.refused
        if choice.runs and _agreed(choice, yes=yes):
            no_copy = create_deleted_copies([run for run, _ in choice.runs])
            for run, _ in choice.runs:
                if run.path in no_copy:
                    say(f"{run_paths([run])} is not submitted: {no_copy[run.path]}.", sys.stderr)
            ready = [run for run, _ in choice.runs if run.path not in no_copy]
            succeeded = (not ready or _submit(ready, n_jobs)) and not no_copy and succeeded
        elif choice.runs:
            say("Nothing was submitted.")
            succeeded = False
    sys.exit(int(not succeeded))


def _failed(directory: Path) -> list[RunRecord]:
    """Return the runs that --failed means, and report the ones that it skips."""
    from mlxp_core.actions.selection import select_all
    from mlxp_core.status.resolver import StatusResolver

    runs, states = select_all(directory), StatusResolver()
    pairs = list(zip(runs, states.resolve(runs), strict=True))
    for status, why in (("UNKNOWN", " (end not recorded)"), ("CANCELLED", "")):
        skipped = [run for run, resolved in pairs if resolved.status == status]
        if skipped:
            say(f"Skipped {count(skipped, f'{status} run')}{why}: {run_paths(skipped)}. Name runs to resubmit them.")
    waiting = [run for run, resolved in pairs if resolved.status == "NOT_SUBMITTED" and resolved.is_finished]
    if waiting:
        what = count(waiting, "NOT_SUBMITTED run")
        say(f"Skipped {what}: {run_paths(waiting)}. 'mlxp resume' submits or starts them.")
    others = ("UNKNOWN", "CANCELLED", "NOT_SUBMITTED", "NEVER_LAUNCHED")
    failed = [run for run, resolved in pairs if resolved.has_failed and resolved.status not in others]
    if not failed:
        for note in states.notes:
            say(note, sys.stderr)
    return failed


def _agreed(choice: Choice, *, yes: bool) -> bool:
    """Ask before results are overwritten."""
    runs = [run for run, _ in choice.with_results]
    if not runs:
        return True
    numbers = Counter(resolved.status for _, resolved in choice.with_results)
    what = " and ".join(f"{number} {status}" for status, number in numbers.items())
    say(f"This overwrites the results of {what} {'run' if len(runs) == 1 else 'runs'} ({run_paths(runs)}).")
    return confirmed("Run them again in their directories?", yes=yes)


def _submit(runs: Sequence[RunRecord], n_jobs: int | None) -> bool:
    """Submit runs, or run them on this machine; return whether that succeeded."""
    from mlxp_core.actions.rerun_local import lock_local_runs, run_scripts
    from mlxp_core.actions.resubmit import submit_again
    from mlxp_core.runs.reader import LOCAL

    batch = [run for run in runs if run.scheduler != LOCAL]
    local = [run for run in runs if run.scheduler == LOCAL]
    if batch:
        number = submit_again(batch)
        say(f"{number} {'run' if number == 1 else 'runs'} resubmitted. Check on them with 'mlxp ls'.")
    if not local:
        return True
    with lock_local_runs([run.directory for run in local]) as free:
        taken = [run for run in local if run.directory not in free]
        if taken:
            say(f"Not started, because another process is starting them: {run_paths(taken)}.", sys.stderr)
        failed = run_scripts(free, n_jobs, Path.cwd()) if free else 0
    return not (taken or failed)
