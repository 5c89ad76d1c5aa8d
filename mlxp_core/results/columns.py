"""The columns of a table of runs: a column for each override that varies, and one for each metric."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from mlxp_core.metrics.last_values import COUNTERS, counter_of
from mlxp_core.results.rows import COLUMNS, Row


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        title: What stands above it.
        kind: Its name in `COLUMNS`; empty for an override, a metric or a key of the configuration.
        value: Function that returns the value of a run; None if it has none.
    """

    title: str
    kind: str
    value: Callable[[Row], Any]


def table_columns(names: Sequence[str], rows: Sequence[Row]) -> list[Column]:
    """Return the columns of a table, in which `overrides` and `metrics` stand for as many columns as there are.

    Args:
        names: Names of columns, metrics and keys of the configuration.
        rows: The runs.
    """
    columns: list[Column] = []
    for name in names:
        several = _SEVERAL.get(name)
        found = list(several(rows)) if several else []
        columns += found or [Column(name, name if name in COLUMNS else "", partial(_shown, name))]
    return columns


def _shown(name: str, row: Row) -> Any:
    return row.shown(name)


def _overrides(rows: Sequence[Row]) -> Iterator[Column]:
    for key in dict.fromkeys(key for row in rows for key in row.varying):
        yield Column(key, "", partial(_override, key))


def _override(key: str, row: Row) -> str | None:
    return row.varying.get(key)


def _metrics(rows: Sequence[Row]) -> Iterator[Column]:
    keys = dict.fromkeys(key for row in rows for key in row.metrics)
    # The last epoch and step once, whatever files they are in
    counters = {counter_of(key) for key in keys}
    for key in [*(key for key in keys if not counter_of(key)), *(name for name in COUNTERS if name in counters)]:
        yield Column(key, "", partial(_metric, key))


def _metric(key: str, row: Row) -> Any:
    return row.metrics.get(key) if key not in COUNTERS else row.counters.get(key)


_SEVERAL: dict[str, Callable[[Sequence[Row]], Iterator[Column]]] = {"overrides": _overrides, "metrics": _metrics}
