"""Values of metrics for comparisons: of the best, the last, or a given epoch of each run."""

from __future__ import annotations

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mlxp_core.errors import SelectionError
from mlxp_core.metrics.history import TIMES, extremes, number, read_records, splits
from mlxp_core.metrics.names import file_of
from mlxp_core.results.run import Run
from mlxp_core.results.summary import Measure, Value
from mlxp_core.runs.file_cache import FileCache

_CACHE = ".mlxp-values.json"
# Runs whose metrics a message suggests
_LOOKED_AT = 100


class ValueReader:
    """Reads values of metrics; the highest, lowest and last ones of files that do not change are read once.

    Its attribute `cache` has these, and the settings of the runs; who uses it saves it.

    Args:
        directory: Absolute directory of the runs, which keeps them; None to keep nothing.
    """

    def __init__(self, directory: Path | None) -> None:
        self.cache = FileCache(directory, _CACHE)

    def value(self, run: Run, measure: Measure) -> Value | None:
        """Return the value of a measure; None if the run logged no such number."""
        for log, key in splits(measure.metric):
            if measure.time is not None:
                found = _at(run.metrics(log), key, measure.time)
            else:
                entry = self._extremes(run.row.run.path, log).get(key)
                found = None if entry is None else Value(*entry[measure.pick])
            if found is not None:
                return found
        last = number(run.row.metrics.get(measure.metric)) if measure.pick == "last" else None
        return None if last is None else Value(last)

    def _extremes(self, run: str, log: str) -> dict[str, Any]:
        path = f"{run}/metrics/{file_of(f'metrics.{log}')}"
        try:
            stat = os.stat(path)
        except OSError:
            return {}
        found: dict[str, Any] = self.cache.get(path, stat, lambda: extremes(read_records(run, log)))
        return found


def metric_names(runs: Sequence[Run]) -> list[str]:
    """Return the metrics of some runs, without their epochs and steps."""
    names = dict.fromkeys(name for run in runs[:_LOOKED_AT] for name in run.row.metrics)
    return [name for name in names if name.rpartition(".")[2] not in TIMES]


def no_metric(metric: str, runs: Sequence[Run], option: str) -> SelectionError:
    """Return the error for a metric that no run logged.

    Args:
        metric: What the user wrote.
        runs: The runs.
        option: How messages begin.
    """
    known = metric_names(runs)
    if not known:
        return SelectionError(f"{option}: no run has logged a number as {metric!r}; the runs have no metrics yet.")
    by_key = [name for name in known if name.rpartition(".")[2] == metric.rpartition(".")[2]]
    close = by_key or get_close_matches(metric, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"metrics are {', '.join(known)}."
    return SelectionError(f"{option}: no run has logged a number as {metric!r}; {hint}")


def _at(records: Sequence[dict[str, Any]], key: str, time: tuple[str, float]) -> Value | None:
    """Return the last value that was logged at a time."""
    name, at = time
    for record in reversed(records):
        if number(record.get(name)) == at and (value := number(record.get(key))) is not None:
            return Value(value, *(record.get(one) for one in TIMES))
    return None
