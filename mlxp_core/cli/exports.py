"""Runs as JSON and CSV, for other programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from mlxp_core.console import say
from mlxp_core.results.rows import COLUMNS

if TYPE_CHECKING:
    from mlxp_core.results.rows import Row


def print_json(rows: Sequence[Row], names: Sequence[str] | None) -> None:
    """Print a list of objects, one per line, with the named columns or all."""
    keys = names or list(COLUMNS)
    lines = [json.dumps({key: _plain(row.shown(key)) for key in keys}, default=str, ensure_ascii=False) for row in rows]
    say("[\n" + ",\n".join(lines) + "\n]")


def print_csv(rows: Sequence[Row], names: Sequence[str] | None) -> None:
    """Print a table with a header; without `names`, each metric is a column."""
    import csv

    keys = list(names or COLUMNS)
    if names is None:
        keys.remove("metrics")
        keys += list(dict.fromkeys(key for row in rows for key in row.metrics))
    writer = csv.writer(sys.stdout)
    writer.writerow(keys)
    for row in rows:
        values = (row.shown(key) for key in keys)
        writer.writerow([" ".join(value) if isinstance(value, list) else value for value in values])


def _plain(value: Any) -> Any:
    """Return a value in strict JSON, which has no NaN and no infinity."""
    if isinstance(value, float) and not isfinite(value):
        return None
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value
