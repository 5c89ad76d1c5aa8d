"""Runs as rows of a table: their columns, their values for filters and sorting, and the overrides that all share."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import yaml

from mlxp_core.files import read_regular
from mlxp_core.metrics.last_values import COUNTERS, last_counters, last_metrics
from mlxp_core.results.choices import may_be_group, read_choices
from mlxp_core.results.conditions import ABSENT, look_up
from mlxp_core.results.override_values import texts_of, values_of
from mlxp_core.runs.fast_yaml import load_yaml
from mlxp_core.runs.file_cache import FileCache
from mlxp_core.runs.info import seconds
from mlxp_core.runs.reader import RunRecord
from mlxp_core.status.rules import ResolvedStatus


@dataclass(frozen=True)
class Row:
    """A run, its status, and what else a table may show.

    Attributes:
        run: The run.
        resolved: Its status.
        cache: Cache of the metrics that have not changed.
        shared: Overrides that all rows have.
    """

    run: RunRecord
    resolved: ResolvedStatus
    cache: FileCache
    shared: Collection[str] = ()

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """The last value of each metric, by names such as `train.loss`."""
        return last_metrics(self.run.path, self.cache)

    @cached_property
    def counters(self) -> dict[str, Any]:
        """The last `epoch` and the last `step` in all files of metrics."""
        return last_counters(self.metrics)

    @cached_property
    def varying(self) -> dict[str, str]:
        """The values of the overrides that not all rows have, by key, as they were written."""
        return texts_of(COLUMNS["overrides"](self))

    @cached_property
    def config(self) -> dict[str, Any]:
        """The run's configuration; before the run starts, only the values in its overrides."""
        try:
            config = load_yaml(read_regular(self.run.directory.metadata / "config.yaml"))
        except (OSError, yaml.YAMLError, ValueError):
            config = None
        return config if isinstance(config, dict) else values_of(self.run.overrides)

    @cached_property
    def choices(self) -> dict[str, Any]:
        """The choices of config groups, by all names of the groups; empty before the run starts."""
        try:
            found: dict[str, Any] = self.cache.read(str(self.run.directory.metadata / "hydra.yaml"), read_choices)
        except (OSError, yaml.YAMLError, ValueError):
            return {}
        return found

    def value(self, key: str) -> Any:
        """Return the value of a column, a metric or a configuration key, in this order; `ABSENT` if there is none."""
        found = self._recorded(key)
        return self._configured(key) if found is ABSENT else found

    @property
    def job_id(self) -> str | None:
        """The job that runs it or is to run it, or else the last job that did; None without a job."""
        jobs = self.resolved.jobs
        return self.run.job_id if not jobs or self.run.job_id in jobs else jobs[-1]

    def find(self, key: str) -> Any:
        """Return the value of a key in a condition, where the configuration comes first; `ABSENT` if there is none."""
        if look_up(self.config, key) is ABSENT and (found := self._recorded(key)) is not ABSENT:
            return found
        return self._configured(key)

    def _recorded(self, key: str) -> Any:
        """Return the value of a column or a metric."""
        if key in COLUMNS:
            return COLUMNS[key](self)
        return self.metrics.get(key, self.counters.get(key, ABSENT) if key in COUNTERS else ABSENT)

    def _configured(self, key: str) -> Any:
        """Return the value of a configuration key; that of a config group is its choice."""
        found = look_up(self.config, key)
        # hydra.yaml is read only for keys that may be config groups
        if isinstance(found, dict) or (found is ABSENT and may_be_group(key)):
            return self.choices.get(key, found)
        return found

    def shown(self, key: str) -> Any:
        """Return the value of a column, a metric or a configuration key; None if there is none."""
        found = self.value(key)
        return None if found is ABSENT else found


def _elapsed(row: Row) -> float | None:
    """Return the seconds from the run's start to its end, or until now; None if they are not known."""
    info = row.run.info
    start, end = seconds(info.get("start_time")), seconds(info.get("end_time"))
    if start is None:
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
    "job": lambda row: row.job_id,
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
    """Return the overrides that all runs have, if there are several runs."""
    if len(runs) < 2:
        return []
    common = set.intersection(*(set(run.overrides) for run in runs))
    return [one for one in runs[0].overrides if one in common]


def sort_rows(rows: Sequence[Row], key: str) -> list[Row]:
    """Sort rows by a key, in descending order for `-key`; rows without a value come last."""
    name = key.removeprefix("-")
    values = [(row.value(name), row) for row in rows]
    known = [(value, row) for value, row in values if value is not ABSENT and value is not None and value == value]
    if name == "run":  # rows are in the order of their numbers already
        ordered = known[::-1] if key.startswith("-") else known
    else:
        ordered = sorted(known, key=lambda pair: _order(pair[0]), reverse=key.startswith("-"))
    sorted_ids = {id(row) for _, row in known}
    return [row for _, row in ordered] + [row for row in rows if id(row) not in sorted_ids]


def _order(value: Any) -> tuple[int, float, str]:
    """Return a sort key that places numbers, by value, before strings."""
    return (0, float(value), "") if isinstance(value, (int, float)) else (1, 0, str(value))
