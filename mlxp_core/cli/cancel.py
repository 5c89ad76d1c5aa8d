"""`mlxp cancel`: cancels runs."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core import console
from mlxp_core.cli.options import confirmed, in_directory, run_paths, status_and_reason, yes
from mlxp_core.console import say

if TYPE_CHECKING:
    from mlxp_core.actions.cancel import Cancellation, CheckedRun


@click.command()
@click.argument("runs", metavar="[RUN...]", nargs=-1)
@click.option("--all", "all_runs", is_flag=True, help="All pending and running runs of DIR.")
@yes
@in_directory
def cancel(runs: tuple[str, ...], all_runs: bool, yes: bool, directory: Path) -> None:
    """Cancel pending or running runs, after a question.

    Runs on a scheduler and runs on this machine can be cancelled. RUN is a number (5), a range (3-7), a list (1,4,9) or
    the path of a run's directory. The exit status is 1 if one of the runs is still active afterwards.

    \b
    Examples:
      mlxp cancel 3-7
      mlxp cancel --all -y
    """
    from mlxp_core.actions.cancel import Cancellation
    from mlxp_core.actions.selection import check_own, select_all, select_runs

    if bool(runs) == all_runs:
        raise click.UsageError("Name runs, or give --all.")
    found = select_all(directory) if all_runs else select_runs(runs, directory)
    check_own(found)
    cancellation = Cancellation(found)
    for note in cancellation.notes:
        say(note, sys.stderr)
    if cancellation.finished and (not all_runs or not cancellation.active):
        _report_finished(cancellation.finished)
    for run, reason in cancellation.blocked:
        say(f"{run_paths([run])} cannot be cancelled from here: {reason}.", sys.stderr)
    succeeded = not cancellation.blocked
    if cancellation.active:
        succeeded = _cancel(cancellation, yes=yes) and succeeded
    sys.exit(int(not succeeded))


def _cancel(cancellation: Cancellation, *, yes: bool) -> bool:
    """Ask, cancel the runs and report their statuses; return whether all have finished."""
    _list(cancellation.active)
    if cancellation.sharing:
        say("These runs share a job with them, and are cancelled too:")
        _list(cancellation.sharing)
    number = len(cancellation.active) + len(cancellation.sharing)
    if not confirmed(f"Cancel {number} {'run' if number == 1 else 'runs'}?", yes=yes):
        say("Nothing was cancelled.")
        return False
    problems = cancellation.cancel()
    for problem in problems:
        say(problem, sys.stderr)
    before = len(cancellation.notes)
    if any(cancellation.timeout_s(run) for run in cancellation.active):
        say("Waiting for them to end ...")
    now = cancellation.outcome()
    say("Now:")
    _list(now)
    for note in cancellation.notes[before:]:
        say(note, sys.stderr)
    active = [run for run, resolved in now if not resolved.is_finished]
    if active and not problems:
        say(f"Not cancelled yet: {run_paths(active)}. Check again with 'mlxp ls'.", sys.stderr)
    return not active


def _report_finished(finished: Sequence[CheckedRun]) -> None:
    if len(finished) > console.NAMED:
        say(f"{len(finished)} runs had already finished: {_counted(finished)}.")
        return
    for run, resolved in finished:
        say(f"{run_paths([run])} had already finished: {status_and_reason(resolved)}")


def _list(runs: Sequence[CheckedRun]) -> None:
    from mlxp_core.cli.tables import plain_lines

    if len(runs) > console.NAMED:
        say(f"  {run_paths([run for run, _ in runs])}: {_counted(runs)}")
        return
    rows = []
    for run, resolved in runs:
        job = f"job {', '.join(resolved.jobs)}" if resolved.jobs else f"process {run.process.get('process_id')}"
        rows.append([f"  {run_paths([run])}", resolved.status, job, " ".join(run.overrides)])
    for line in plain_lines(rows):
        say(line)


def _counted(runs: Sequence[CheckedRun]) -> str:
    return ", ".join(f"{number} {status}" for status, number in Counter(one.resolved.status for one in runs).items())
