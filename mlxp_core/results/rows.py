"""Runs as rows of a table: columns, what to sort and select by, and what all have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from mlxp_core.metrics.last_values import last_metrics
from mlxp_core.results.conditions import ABSENT, look_up
from mlxp_core.results.override_values import values_of
from mlxp_core.runs.fast_yaml import load_yaml
from mlxp_core.runs.file_cache import FileCache
from mlxp_core.runs.reader import RunRecord, seconds
from mlxp_core.status.rules import ResolvedStatus


@dataclass(frozen=True)
class Row:
    """A run, what is true of it, and what else a table may show.

    Attributes:
        cache: has the metrics that did not change.
        shared: overrides that all rows have.
    """

    run: RunRecord
    resolved: ResolvedStatus
    cache: FileCache
    shared: Collection[str] = ()

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """Its last ones, such as `train.loss`."""
        return last_metrics(self.run.path, self.cache)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Its configuration; of a run that has not started what its overrides say of it."""
        try:
            config = load_yaml((self.run.directory.metadata / "config.yaml").read_bytes())
        except (OSError, yaml.YAMLError):
            config = None
        return config if isinstance(config, dict) else values_of(self.run.overrides)

    def value(self, key: str) -> Any:
        """What it has in a column, or for a metric or a key of its configuration; `ABSENT` when it has none."""
        if key in COLUMNS:
            return COLUMNS[key](self)
        if key in self.metrics:
            return self.metrics[key]
        return look_up(self.config, key)

    def find(self, key: str) -> Any:
        """The same, for a condition: there the configuration comes first."""
        found = look_up(self.config, key)
        return self.value(key) if found is ABSENT else found

    def shown(self, key: str) -> Any:
        """The same, with None for nothing."""
        found = self.value(key)
        return None if found is ABSENT else found


def _elapsed(row: Row) -> float | None:
    """Seconds from its start to its end, or until now; None when nobody knows."""
    info = row.run.info
    start, end = seconds(info.get("start_time")), seconds(info.get("end_time"))
    if start is None or row.run.submitted_again:
        return None
    if row.resolved.is_finished:
        return None if end is None else end - start
    return None if row.resolved.status == "PENDING" else time.time() - start


def _commit(row: Row) -> Any:
    version = row.run.info.get("version_manager")
    return version.get("commit_hash") if isinstance(version, dict) else None


COLUMNS: dict[str, Callable[[Row], Any]] = {
    "run": lambda row: row.run.name,
    "status": lambda row: row.resolved.status,
    "reason": lambda row: row.resolved.reason or None,
    "scheduler": lambda row: row.run.scheduler_title,
    "job": lambda row: row.run.job_id,
    "started": lambda row: row.run.info.get("start_time"),
    "ended": lambda row: row.run.info.get("end_time"),
    "elapsed": _elapsed,
    "host": lambda row: row.run.info.get("hostname"),
    "commit": _commit,
    "directory": lambda row: row.run.path,
    "overrides": lambda row: [one for one in row.run.overrides if one not in row.shared],
    "metrics": lambda row: row.metrics,
}


def shared_overrides(runs: Sequence[RunRecord]) -> list[str]:
    """The overrides that all runs have, when there are several."""
    if len(runs) < 2:
        return []
    common = set.intersection(*(set(run.overrides) for run in runs))
    return [one for one in runs[0].overrides if one in common]


def sort_rows(rows: Sequence[Row], key: str) -> list[Row]:
    """Rows by what they have for a key, upwards, or downwards for `-key`; those that have nothing come last."""
    name = key.removeprefix("-")
    values = [(row.value(name), row) for row in rows]
    known = [(value, row) for value, row in values if value is not ABSENT and value is not None and value == value]
    if name == "run":  # they are in the order of their numbers
        ordered = known[::-1] if key.startswith("-") else known
    else:
        ordered = sorted(known, key=lambda pair: _order(pair[0]), reverse=key.startswith("-"))
    left = {id(row) for _, row in known}
    return [row for _, row in ordered] + [row for row in rows if id(row) not in left]


def _order(value: Any) -> tuple[int, float, str]:
    """Numbers by their size, before texts."""
    return (0, float(value), "") if isinstance(value, (int, float)) else (1, 0, str(value))
