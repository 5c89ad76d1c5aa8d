"""Tables of runs: fitted to a terminal, whole and plain in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.table import Table

# A table that nobody reads from top to bottom: laying it out by rich would take seconds
_MANY = 1_000
_COLOURS = {
    **dict.fromkeys(("COMPLETE",), "green"),
    **dict.fromkeys(("RUNNING", "COMPLETING"), "cyan"),
    **dict.fromkeys(("PENDING", "STARTING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED"), "blue"),
    **dict.fromkeys(("NOT_SUBMITTED", "UNKNOWN", "PREEMPTED", "CANCELLED"), "yellow"),
}


def colour(status: str) -> str:
    """The colour of a status; what is not known here has failed in one way or other."""
    return _COLOURS.get(status, "red")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str] = ()) -> None:
    """Print a table; the cells of the column `status` have colours on a terminal that has some.

    Args:
        columns: their names.
        rows: the cells of each.
        spare: columns that a terminal too narrow for all goes without, the first one first.
    """
    if not sys.stdout.isatty() or len(rows) > _MANY:
        click.echo("\n".join(plain_lines([columns, *rows])))
        return
    from rich.console import Console
    from rich.measure import Measurement

    console = Console(highlight=False)
    left_out: list[str] = []
    table = rich_table(columns, rows)
    for name in spare:
        if Measurement.get(console, console.options.update(max_width=10_000), table).minimum <= console.width:
            break
        left_out.append(name)
        kept = [place for place, column in enumerate(columns) if column not in left_out]
        table = rich_table([columns[place] for place in kept], [[row[place] for place in kept] for row in rows])
    console.print(table)
    if left_out:
        console.print(f"Left out on this narrow terminal: {', '.join(left_out)} (see --columns).")


def rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """A table that fits the terminal; long cells are folded, and nothing is cut off."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        if column in ("overrides", "metrics", "reason", "directory"):
            table.add_column(column, overflow="fold", min_width=12)
        else:
            table.add_column(column, no_wrap=column in ("run", "status"), overflow="fold")
    for row in rows:
        cells = (Text(cell, colour(cell) if name == "status" else "") for name, cell in zip(columns, row, strict=True))
        table.add_row(*cells)
    return table


def plain_lines(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Rows in columns, two blanks apart."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def text_of(column: str, value: Any, now: float) -> str:
    """A value as a table shows it."""
    if value is None:
        return "-"
    if column == "elapsed":
        return duration(value)
    if column in ("started", "ended"):
        return moment(value, now)
    if column == "commit":
        return str(value)[:10]
    if isinstance(value, str):
        return value
    if isinstance(value, dict):
        return _metrics(value)
    if isinstance(value, list):
        return " ".join(map(str, value)) or "-"
    return _short(value)


def _metrics(values: Mapping[str, Any]) -> str:
    """Metrics in a line; an epoch or step that all files are at is said once."""
    once = {}
    for counter in (".epoch", ".step"):
        found = [key for key in values if key.endswith(counter)]
        if len(found) > 1 and len({values[key] for key in found}) == 1:
            once.update(dict.fromkeys(found, counter[1:]))
    if once:
        named = [(key, value) for key, value in values.items() if key not in once]
        values = dict(named) | {counter: values[key] for key, counter in once.items()}
    return " ".join([f"{key}={_short(value)}" for key, value in values.items()]) or "-"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def duration(seconds: float) -> str:
    """`0:03:12`, `2d 03:04:05`."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}d {clock}" if days else clock.removeprefix("0")


def moment(iso: Any, now: float) -> str:
    """A moment in this machine's time, and how long ago it was: `02:10 (3 min ago)`, `11-23 02:10 (2 d ago)`."""
    text, at = _local(str(iso), _day(now))
    return text if at is None else f"{text} ({ago(now - at)})"


@lru_cache(maxsize=1)
def _day(now: float) -> str:
    return f"{datetime.fromtimestamp(now):%m-%d}"


@lru_cache(maxsize=10_000)  # the runs of an array start together
def _local(iso: str, today: str) -> tuple[str, float | None]:
    try:
        local = datetime.fromisoformat(iso).astimezone()
    except ValueError:
        return iso, None
    return f"{local:%m-%d %H:%M}".removeprefix(f"{today} "), local.timestamp()


def ago(seconds: float) -> str:
    """How long ago something was, roughly."""
    for name, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {name} ago"
    return "now" if seconds < 1 else f"{int(seconds)} s ago"
