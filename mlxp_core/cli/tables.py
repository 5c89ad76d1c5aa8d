"""Tables of runs: fitted to the width of a terminal, complete and plain in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from mlxp_core.console import escaped, say

if TYPE_CHECKING:
    from rich.table import Table

# More rows than this are printed plainly: rich would need seconds for the layout
_MAX_RICH_ROWS = 1_000
_COLORS = {
    **dict.fromkeys(("COMPLETE",), "green"),
    **dict.fromkeys(("RUNNING", "COMPLETING"), "cyan"),
    **dict.fromkeys(("PENDING", "STARTING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED"), "blue"),
    **dict.fromkeys(("NEVER_LAUNCHED", "NOT_SUBMITTED", "UNKNOWN", "PREEMPTED", "CANCELLED"), "yellow"),
}


def color(status: str) -> str:
    """Return the color of a status; all statuses that are not listed here are failures."""
    return _COLORS.get(status, "red")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], spare: Sequence[str] = ()) -> None:
    """Print a table, with colors in the column `status` if the terminal has colors.

    Args:
        columns: Names of the columns.
        rows: Cells of each row.
        spare: Columns to leave out if the terminal is too narrow, first one first.
    """
    rows = [[escaped(cell, one_line=True) for cell in row] for row in rows]
    if not sys.stdout.isatty() or len(rows) > _MAX_RICH_ROWS:
        say("\n".join(plain_lines([columns, *rows])))
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
        console.print(f"Columns left out on this narrow terminal: {', '.join(left_out)} (choose with --columns).")


def rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Return a table that fits the terminal; long cells are folded, not truncated."""
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
        cells = (
            Text(escaped(cell, one_line=True), color(cell) if name == "status" else "")
            for name, cell in zip(columns, row, strict=True)
        )
        table.add_row(*cells)
    return table


def plain_lines(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Return rows as lines with aligned columns, separated by two spaces."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def text_of(column: str, value: Any, now: float) -> str:
    """Return a value as text for a table."""
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
    """Return metrics in one line; an epoch or step that is the same in all files is shown once."""
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
    """Return a duration such as `0:03:12` or `2d 03:04:05`."""
    whole = max(0, int(seconds))
    days, rest = divmod(whole, 86400)
    clock = f"{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days}d {clock}" if days else clock.removeprefix("0")


def moment(iso: Any, now: float) -> str:
    """Return a time in the local zone and its age: `02:10 (3 min ago)`, `11-23 02:10 (2 d ago)`."""
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
    """Return a rounded age, such as `3 min ago`."""
    for name, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {name} ago"
    return "now" if seconds < 1 else f"{int(seconds)} s ago"
