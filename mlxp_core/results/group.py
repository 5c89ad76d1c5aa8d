"""A group of runs whose metrics are averaged, and the run with the best value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlxp_core.results.run import Run
from mlxp_core.results.summary import Cell, Measure, Value


@dataclass(frozen=True)
class Group:
    """Runs whose values are averaged.

    Attributes:
        settings: The values by which it differs from the other groups, by key.
        runs: The runs that count.
        cells: The values of each measure.
    """

    settings: Mapping[str, Any]
    runs: Sequence[Run]
    cells: Mapping[Measure, Cell]

    @property
    def name(self) -> str:
        """Its settings in one line: `optimizer.lr=0.1 model=mlp`."""
        return named(self.settings)


@dataclass(frozen=True)
class BestRun:
    """The run with the best value.

    Attributes:
        run: The run.
        metric: Name of the metric.
        value: The value, with the epoch and the step at which it was logged.
    """

    run: Run
    metric: str
    value: Value

    def __str__(self) -> str:
        commit = f", commit {self.run.commit[:10]}" if self.run.commit else ""
        return f"run {self.run.name}, {self.metric} {self.value.value:.4g}{self.value.when}{commit}"


def named(settings: Mapping[str, Any]) -> str:
    """Return settings in one line; those that are not known are omitted."""
    return " ".join(f"{key}={text_of_setting(value)}" for key, value in settings.items() if value is not None)


def text_of_setting(value: Any) -> str:
    """Return a setting as a table shows it, and as an override would be written."""
    if value is None:
        return "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
