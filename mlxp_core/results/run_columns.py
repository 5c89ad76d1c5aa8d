"""Runs as columns: a row for each run, or for each record that the runs logged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from mlxp_core.errors import SelectionError
from mlxp_core.metrics.history import TIMES
from mlxp_core.results.group import text_of_setting
from mlxp_core.results.rows import COLUMNS
from mlxp_core.results.run import Run
from mlxp_core.results.settings import Settings, scalar
from mlxp_core.results.table_cells import Grid, TableCell
from mlxp_core.results.values import metric_names

# Rows of a table in a notebook; the first and the last ones of more runs are shown
_SHOWN = 60


def _time(run: Run, column: str) -> datetime | None:
    try:
        return datetime.fromisoformat(COLUMNS[column](run.row)).astimezone(timezone.utc)
    except (TypeError, ValueError):
        return None


def _usage(run: Run) -> Mapping[str, Any]:
    usage = run.row.run.info.get("usage")
    return usage if isinstance(usage, Mapping) else {}


_FIRST: dict[str, Callable[[Run], Any]] = {
    "run": lambda run: run.name,
    "status": lambda run: run.status,
}
_LAST: dict[str, Callable[[Run], Any]] = {
    "commit": lambda run: run.commit,
    "started": lambda run: _time(run, "started"),
    "ended": lambda run: _time(run, "ended"),
    "elapsed": lambda run: COLUMNS["elapsed"](run.row),
    "reason": lambda run: run.reason or None,
    "scheduler": lambda run: run.row.run.scheduler_title,
    "job": lambda run: run.row.job_id,
    "host": lambda run: COLUMNS["host"](run.row),
    "overrides": lambda run: " ".join(run.overrides),
    "directory": lambda run: run.row.run.path,
}


def run_columns(runs: Sequence[Run], settings: Settings) -> dict[str, list[Any]]:
    """Return a row for each run: status, settings, last metrics, commit, times, usage.

    A setting or a metric whose name another column has is called `config.<key>` or `metrics.<name>`.
    """
    columns = {name: [value(run) for run in runs] for name, value in _FIRST.items()}
    if all(name.isdecimal() for name in columns["run"]):
        columns["run"] = [int(name) for name in columns["run"]]
    _add(columns, settings.values, "config")
    _add(columns, [run.row.metrics for run in runs], "metrics")
    columns |= {name: [value(run) for run in runs] for name, value in _LAST.items()}
    usages = [_usage(run) for run in runs]
    for key in dict.fromkeys(key for usage in usages for key in usage):
        columns[f"usage.{key}"] = [scalar(usage.get(key)) for usage in usages]
    return columns


def record_columns(runs: Sequence[Run], log: str) -> dict[str, list[Any]]:
    """Return a row for each record that the runs logged to one log: run, epoch, step, values.

    Raises:
        SelectionError: No run logged to it.
    """
    names = [int(run.name) if run.name.isdecimal() else run.name for run in runs]
    if not all(isinstance(name, int) for name in names):
        names = [run.name for run in runs]
    columns: dict[str, list[Any]] = {"run": []}
    length = 0
    for name, run in zip(names, runs, strict=True):
        records = run.metrics(log)
        if not records:
            continue
        columns["run"] += [name] * len(records)
        first = records[0].keys()
        is_even = all(record.keys() == first for record in records)
        for key in first if is_even else dict.fromkeys(key for record in records for key in record):
            column = columns.setdefault(_record_name(key), [])
            column += [None] * (length - len(column))
            column += [record[key] for record in records] if is_even else [record.get(key) for record in records]
        length += len(records)
    if not length and runs:
        raise _no_log(runs, log)
    for column in columns.values():
        column += [None] * (length - len(column))
    order = ["run", *(name for name in TIMES if name in columns)]
    return {name: columns[name] for name in [*order, *(name for name in columns if name not in order)]}


def overview(runs: Sequence[Run], settings: Settings) -> tuple[Grid, list[str]]:
    """Return a table of runs with what varies and their last metrics, and notes below it."""
    half = _SHOWN // 2
    places = list(range(len(runs)))
    if len(places) > _SHOWN:
        places = [*places[:half], *places[-half:]]
    metrics = metric_names([runs[place] for place in places])
    header = ["run", "status", *settings.varying, *metrics]
    rows = []
    for place in places:
        values = [settings.values[place].get(key) for key in settings.varying]
        metric_values = (runs[place].row.metrics.get(name) for name in metrics)
        numbers = [f"{value:.4g}" if isinstance(value, float) else text_of_setting(value) for value in metric_values]
        texts = [runs[place].name, runs[place].status, *map(text_of_setting, values), *numbers]
        rows.append([TableCell(text) for text in texts])
    more = len(runs) - len(places)
    caption = f"{len(runs)} run{'' if len(runs) == 1 else 's'}"
    return Grid(header, rows, 2, caption + (f", {more} of them not shown." if more else ".")), []


def _add(columns: dict[str, list[Any]], values: Sequence[Mapping[str, Any]], prefix: str) -> None:
    taken = {*columns, *_LAST}
    for key in dict.fromkeys(key for one in values for key in one):
        columns[f"{prefix}.{key}" if key in taken else key] = [one.get(key) for one in values]


def _record_name(key: str) -> str:
    return "metrics.run" if key == "run" else key


def _no_log(runs: Sequence[Run], log: str) -> SelectionError:
    from difflib import get_close_matches

    known = list(dict.fromkeys(name for run in runs[:100] for name in run.logs))
    close = get_close_matches(log, known, n=1)
    if not known:
        return SelectionError(f"metrics: no run has logged to {log!r}; the runs have no metrics yet.")
    hint = f"did you mean {close[0]}?" if close else f"they have logged to {', '.join(known)}."
    return SelectionError(f"metrics: no run has logged to {log!r}; {hint}")
