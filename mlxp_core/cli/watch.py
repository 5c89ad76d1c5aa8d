"""`mlxp watch`: runs as they go on."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Group, RenderableType

    from mlxp_core.results.watch import Change, Look, Watch

_COLUMNS = ("run", "status", "elapsed", "overrides", "metrics")
# Lines of the screen that are not runs
_FRAME = 12
_CHANGES = 5


@click.command()
@click.argument("directory", metavar="[DIR]", default="logs", type=click.Path(path_type=Path))
@click.option("--interval", default=10.0, metavar="SECONDS", help="How often schedulers are asked. Default: 10.")
def watch(directory: Path, interval: float) -> None:
    """Watch runs until all are over; exit status 1 if one did not complete.

    Of all sweeps in DIR (default: logs) those that are not over are watched, or the last one. Ctrl-C ends the watching,
    not the runs.

    Example: mlxp watch && mlxp ls --sort -test.accuracy
    """
    from mlxp_core.results.watch import Watch

    try:
        watched = Watch(directory)
        look = _live(watched, interval) if sys.stdout.isatty() else _lines(watched, interval)
    except KeyboardInterrupt:
        sys.exit(130)
    watched.save()
    sys.exit(int(look.has_failed))


def _lines(watched: Watch, interval: float) -> Look:
    """A line for each change."""
    told: list[str] = []
    is_first = True
    while True:
        start = time.monotonic()
        look = watched.look()
        if is_first or look.changes:
            for change in look.changes:
                click.echo(_line(change))
            click.echo(_summary(look))
        _tell(look, told)
        if look.finished == len(look.rows):
            return look
        is_first = False
        _sleep(start, interval)


def _live(watched: Watch, interval: float) -> Look:
    """A table that changes with the runs."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    changes: deque[Change] = deque(maxlen=_CHANGES)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            start = time.monotonic()
            look = watched.look()
            changes.extendleft(look.changes)
            live.update(_screen(look, changes, console.height), refresh=True)
            if look.finished == len(look.rows):
                return look
            until = _until(start, interval)
            while time.monotonic() < until:  # the clocks go on
                time.sleep(min(1, max(0, until - time.monotonic())))
                live.update(_screen(look, changes, console.height), refresh=True)


def _screen(look: Look, changes: deque[Change], height: int) -> Group:
    from rich.console import Group
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.text import Text

    from mlxp_core.cli.tables import rich_table, text_of

    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar.add_task(f"{len(look.rows)} runs", total=len(look.rows), completed=look.finished)
    # Those that go on first, then those that ended last
    rows = sorted(look.rows, key=lambda row: (row.resolved.is_finished, row.resolved.status != "RUNNING"))
    shown = rows[: max(3, height - _FRAME)]
    now = time.time()
    table = rich_table(_COLUMNS, [[text_of(name, row.shown(name), now) for name in _COLUMNS] for row in shown])
    parts: list[RenderableType] = [bar, Text(_counts(look)), table]
    if len(shown) < len(rows):
        parts.append(Text(f"and {len(rows) - len(shown)} more: mlxp ls"))
    parts += [Text(_line(change), "dim") for change in changes]
    parts += [Text(note, "yellow") for note in look.notes]
    return Group(*parts)


def _line(change: Change) -> str:
    run, resolved = change.row.run, change.row.resolved
    before = f"{change.before} -> " if change.before else ""
    reason = f" ({resolved.reason})" if resolved.reason else ""
    overrides = " ".join(change.row.shown("overrides"))
    return f"{change.at}  {run.name}  {before}{resolved.status}{reason}  {overrides}".rstrip()


def _counts(look: Look) -> str:
    return ", ".join(f"{number} {status}" for status, number in sorted(look.counts.items()))


def _summary(look: Look) -> str:
    return f"{look.finished}/{len(look.rows)} over: {_counts(look)}"


def _tell(look: Look, told: list[str]) -> None:
    for note in look.notes:
        if note not in told:
            told.append(note)
            click.echo(note, err=True)


def _until(start: float, interval: float) -> float:
    from mlxp_core.results.watch import pause

    return time.monotonic() + pause(time.monotonic() - start, interval)


def _sleep(start: float, interval: float) -> None:
    time.sleep(max(0, _until(start, interval) - time.monotonic()))
