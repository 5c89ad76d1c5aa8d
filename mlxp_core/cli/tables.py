"""Tables of runs, and values as texts in them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from shutil import get_terminal_size
from typing import Any

import click

from mlxp_core.cli.table_layout import Layout, lay_out, lines, rule
from mlxp_core.console import say

# Maximum number of columns to name that do not fit
_NAMED = 8
_COLORS = {
    **dict.fromkeys(("COMPLETE",), "green"),
    **dict.fromkeys(("RUNNING", "COMPLETING"), "cyan"),
    **dict.fromkeys(("PENDING", "STARTING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD", "SUSPENDED"), "blue"),
    **dict.fromkeys(("NEVER_LAUNCHED", "NOT_SUBMITTED", "UNKNOWN", "PREEMPTED", "CANCELLED"), "yellow"),
}


def color(status: str) -> str:
    """Return the color of a status; all statuses that are not listed here are failures."""
    return _COLORS.get(status, "red")


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    spare: Sequence[str] = (),
    numbers: Collection[int] = (),
    hint: str = "Choose with --columns.",
) -> None:
    """Print a table: fitted to the terminal, with colors if it has them; complete and plain in a pipe.

    Args:
        columns: Titles of the columns.
        rows: Cells of each row.
        spare: Columns to leave out first if the terminal is too narrow, in this order.
        numbers: Places of the columns whose cells may be numbers.
        hint: What the user can do if columns do not fit.
    """
    if not sys.stdout.isatty():
        say("\n".join(lines(lay_out(columns, rows, numbers=numbers))))
        return
    layout = lay_out(columns, rows, width=get_terminal_size().columns, spare=spare, numbers=numbers)
    has_colors = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    say("\n".join(terminal_lines(layout, has_colors=has_colors)), styled=True)
    if layout.left_out:
        say(f"{left_out(layout)} {hint}")


def terminal_lines(layout: Layout, *, has_colors: bool) -> list[str]:
    """Return the lines of a table on a terminal."""
    place = layout.status
    if has_colors and place is not None:
        colored = [[*row[:place], _colored(row[place]), *row[place + 1 :]] for row in layout.rows]
        layout = layout._replace(rows=colored)
    head, *rest = lines(layout)
    return [head, rule(layout), *rest]


def _colored(status: str) -> str:
    return click.style(status, fg=color(status.rstrip()))


def left_out(layout: Layout) -> str:
    """Return a sentence that names the columns that do not fit."""
    names = layout.left_out
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"Columns that do not fit: {', '.join(names[:_NAMED])}{more}."


def plain_lines(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Return rows as lines with aligned columns, separated by two spaces."""
    return lines(lay_out(rows[0], rows[1:]))


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
        return " ".join(value.split()) if column == "reason" else value  # errors may have several lines
    if column == "metrics":
        return _metrics(value)
    if column == "overrides":
        return " ".join(map(str, value)) or "-"
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, (dict, list)) else _short(value)


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
