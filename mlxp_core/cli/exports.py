"""Runs as JSON and CSV, for other programs."""

from __future__ import annotations

import io
import json
import re
import sys
from collections.abc import Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from mlxp_core.console import say
from mlxp_core.results.rows import COLUMNS

if TYPE_CHECKING:
    from mlxp_core.results.rows import Row

# Characters that control a terminal, and that JSON does not escape
_ESCAPED_IN_JSON = "[\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"


def print_json(rows: Sequence[Row], names: Sequence[str] | None) -> None:
    """Print a list of objects, one per line, with the named columns or all."""
    keys = names or list(COLUMNS)
    lines = [json.dumps({key: _plain(row.shown(key)) for key in keys}, default=str, ensure_ascii=False) for row in rows]
    text = "[\n" + ",\n".join(lines) + "\n]"
    say(re.sub(_ESCAPED_IN_JSON, lambda found: f"\\u{ord(found[0]):04x}", text))


def print_csv(rows: Sequence[Row], names: Sequence[str] | None) -> None:
    """Print a table with a header; without `names`, each metric is a column. Lists and mappings are JSON."""
    import csv

    keys = list(names or COLUMNS)
    if names is None:
        keys.remove("metrics")
        keys += list(dict.fromkeys(key for row in rows for key in row.metrics))
    on_terminal = sys.stdout.isatty()
    file = io.StringIO() if on_terminal else sys.stdout
    writer = csv.writer(file, lineterminator="\n" if on_terminal else "\r\n")
    writer.writerow(keys)
    writer.writerows([_cell(row.shown(key)) for key in keys] for row in rows)
    if isinstance(file, io.StringIO):
        say(file.getvalue().removesuffix("\n"))


def _cell(value: Any) -> Any:
    """Return the value of a cell: lists and mappings in JSON, empty ones as nothing."""
    if isinstance(value, (list, dict)):
        return json.dumps(_plain(value), default=str, ensure_ascii=False) if value else ""
    return value


def _plain(value: Any) -> Any:
    """Return a value in strict JSON, which has no NaN and no infinity."""
    if isinstance(value, float) and not isfinite(value):
        return None
    if isinstance(value, list):
        return [_plain(one) for one in value]
    return {str(key): _plain(one) for key, one in value.items()} if isinstance(value, dict) else value
