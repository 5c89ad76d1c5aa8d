"""`mlxp watch`: shows runs until they have finished."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core.cli.options import directory_argument, status_and_reason
from mlxp_core.console import count, escaped, say

if TYPE_CHECKING:
    from rich.console import Console, Group

    from mlxp_core.results.watch import Change, Look, Watch

_COLUMNS = ("run", "status", "elapsed", "overrides", "metrics")
# Lines of the screen for everything but the runs, the changes and the notes
_FRAME = 7
_CHANGES = 5


@click.command()
@directory_argument
@click.option("--interval", default=10.0, metavar="SECONDS", help="Time between scheduler queries.  [default: 10]")
def watch(directory: Path, interval: float) -> None:
    """Watch runs until all have finished.

    It shows the sweeps in DIR (default: logs) that have pending or running runs, or the last sweep if there are none.
    Ctrl-C stops watching; the runs continue. The exit status is 1 if one of the runs did not complete.

    \b
    Examples:
      mlxp watch
      mlxp watch && mlxp ls --sort -test.accuracy
    """
    from mlxp_core.actions.selection import check_directory
    from mlxp_core.results.watch import Watch

    check_directory(directory)
    try:
        watched = Watch(directory)
        look = _live(watched, interval) if sys.stdout.isatty() else _lines(watched, interval)
    except KeyboardInterrupt:
        sys.exit(130)
    watched.save()
    sys.exit(int(look.has_failed))


def _lines(watched: Watch, interval: float) -> Look:
    """Print a line for each change."""
    printed_notes: list[str] = []
    is_first = True
    while True:
        start = time.monotonic()
        look = watched.look()
        if is_first or look.changes:
            for line in [*map(_line, look.changes), _summary(look)]:
                if not say(line):  # the reader is gone, as in `mlxp watch | head`
                    sys.exit(1)
        for note in look.notes:
            if note not in printed_notes:
                printed_notes.append(note)
                say(note, sys.stderr)
        if look.finished == len(look.rows):
            return look
        is_first = False
        time.sleep(max(0, _next_look(start, interval) - time.monotonic()))


def _live(watched: Watch, interval: float) -> Look:
    """Show a table that is updated in place."""
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    changes: deque[Change] = deque(maxlen=_CHANGES)
    with Live(console=console, auto_refresh=False) as live:
        while True:
            start = time.monotonic()
            look = watched.look()
            changes.extendleft(look.changes)
            live.update(_screen(look, changes, console), refresh=True)
            if look.finished == len(look.rows):
                return look
            end = _next_look(start, interval)
            while time.monotonic() < end:  # the elapsed times advance every second
                time.sleep(min(1, max(0, end - time.monotonic())))
                live.update(_screen(look, changes, console), refresh=True)


def _screen(look: Look, changes: deque[Change], console: Console) -> Group:
    from textwrap import wrap

    from rich.console import Group
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.text import Text

    from mlxp_core.cli.table_layout import lay_out
    from mlxp_core.cli.tables import left_out, terminal_lines, text_of
    from mlxp_core.results.columns import table_columns

    bar = Progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bar.add_task(count(look.rows, "run"), total=len(look.rows), completed=look.finished)
    notes = [line for note in look.notes for line in wrap(escaped(note), console.width)]
    # Running ones first, then other active ones, then the finished ones
    rows = sorted(look.rows, key=lambda row: (row.resolved.is_finished, row.resolved.status != "RUNNING"))
    shown = rows[: max(3, console.height - _FRAME - len(changes) - len(notes))]
    columns, now = table_columns(_COLUMNS, shown), time.time()
    layout = lay_out(
        [column.title for column in columns],
        [[text_of(column.kind, column.value(row), now) for column in columns] for row in shown],
        width=console.width,
        numbers=[place for place, column in enumerate(columns) if not column.kind],
    )
    table = terminal_lines(layout, has_colors=not console.no_color)
    below = [f"and {len(rows) - len(shown)} more: mlxp ls"] if len(shown) < len(rows) else []
    below += [left_out(layout)] if layout.left_out else []
    texts = [Text(_counts(look)), *map(Text.from_ansi, table), *map(Text, below)]
    texts += [Text(escaped(_line(change), one_line=True), "dim") for change in changes] + [
        Text(line, "yellow") for line in notes
    ]
    for text in texts:  # one line of the screen for each
        text.no_wrap, text.overflow = True, "ellipsis"
    return Group(bar, *texts)


def _line(change: Change) -> str:
    run = change.row.run
    before = f"{change.before} -> " if change.before else ""
    overrides = " ".join(change.row.shown("overrides"))
    return f"{change.at}  {run.name}  {before}{status_and_reason(change.row.resolved)}  {overrides}".rstrip()


def _counts(look: Look) -> str:
    return ", ".join(f"{number} {status}" for status, number in sorted(look.counts.items()))


def _summary(look: Look) -> str:
    return f"{look.finished}/{len(look.rows)} finished: {_counts(look)}"


def _next_look(start: float, interval: float) -> float:
    """Return when to look again, on the monotonic clock; `start` is when the last look began."""
    from mlxp_core.results.watch import pause

    return time.monotonic() + pause(time.monotonic() - start, interval)
