"""Runs in groups: by the keys that vary, or by chosen ones, with their metrics averaged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from mlxp_core.errors import SelectionError
from mlxp_core.paths import path_ranges
from mlxp_core.results.aggregate import Aggregate
from mlxp_core.results.conditions import ABSENT
from mlxp_core.results.counted import absent_notes, count_runs, left_out_note, never_launched
from mlxp_core.results.group import BestRun, Group
from mlxp_core.results.listing import check_columns
from mlxp_core.results.run import Run
from mlxp_core.results.settings import Settings, read_settings, scalar
from mlxp_core.results.summary import Cell, Measure, Value, check_pick
from mlxp_core.results.table_cells import order_of
from mlxp_core.results.values import ValueReader, no_metric

_RERUNS = ("latest", "all")


@dataclass(frozen=True)
class Groups:
    """Runs to be grouped.

    Attributes:
        runs: The runs.
        values: Reader of their metrics.
        over: Keys over which metrics are averaged.
        by: Keys by which the groups differ; None for all keys that vary, except those of `over`.
        prefix: What options are called in messages begins with this.
    """

    runs: Sequence[Run]
    values: ValueReader
    over: tuple[str, ...] = ()
    by: tuple[str, ...] | None = None
    prefix: str = ""

    @cached_property
    def settings(self) -> Settings:
        """The settings of the runs."""
        rows = [run.row for run in self.runs]
        check_columns(rows, self.over, f"{self.prefix}over")
        check_columns(rows, self.by or (), f"{self.prefix}by")
        return read_settings(rows, self.values.cache)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Keys by which the groups differ."""
        if self.by is not None:
            return self.by
        return tuple(key for key in self.settings.varying if not self._is_over(key))

    def aggregate(
        self,
        metrics: Mapping[str, str | Sequence[str]] | Sequence[Measure],
        *,
        reruns: str = "latest",
        incomplete: bool = False,
    ) -> Aggregate:
        """Return the mean and the spread of metrics in each group; the best group comes first.

        Args:
            metrics: For each metric, which of the values that a run logged counts: `max`, `min`, `last`, a time such as
                `epoch=10`, or a list of these.
            reruns: Among runs of the same configuration, `latest` counts the last COMPLETE one, `all` all of these.
            incomplete: Whether a configuration without a COMPLETE run is represented by its last run.

        Raises:
            SelectionError: No run has one of the metrics or keys, or a word is not allowed.
        """
        if reruns not in _RERUNS:
            raise SelectionError(f"{self.prefix}reruns must be latest or all, got {reruns!r}.")
        measures = [
            Measure(metric, check_pick(pick, f"{self.prefix}best"))
            for metric, picks in (metrics.items() if isinstance(metrics, Mapping) else metrics)
            for pick in ([picks] if isinstance(picks, str) else picks)
        ]
        counted = count_runs(self.runs, self.settings, reruns=reruns, incomplete=incomplete)
        groups: dict[tuple[Any, ...], list[int]] = {self._key(place): [] for place in counted.absent}
        for place in counted.places:
            groups.setdefault(self._key(place), []).append(place)
        found = {measure: self._read(measure, counted.places) for measure in measures}
        result = [
            Group(
                dict(zip(self.keys, key, strict=True)),
                [self.runs[place] for place in places],
                {
                    one: Cell(tuple(found[one][place].value for place in places if place in found[one]))
                    for one in measures
                },
            )
            for key, places in groups.items()
        ]
        left_out = [self.runs[place] for place in counted.left_out]
        notes = [
            *left_out_note(left_out),
            *absent_notes([self.runs[place] for place in counted.absent], [self._shown(one) for one in counted.absent]),
            *(note for measure in measures for note in self._value_notes(measure, counted.places, found[measure])),
            *self._launch_notes(),
        ]
        best = self._best(measures[0], found[measures[0]]) if measures else None
        return Aggregate(self.keys, measures, _sorted(result, measures), left_out, best, notes)

    def _is_over(self, key: str) -> bool:
        names = self.settings.varying
        return any(key == one or (one not in names and key.startswith(f"{one}.")) for one in self.over)

    def _setting(self, place: int, key: str) -> Any:
        settings = self.settings.values[place]
        if key in settings:
            return settings[key]
        found = self.runs[place].row.value(key)  # a column such as commit
        return None if found is ABSENT else scalar(found)

    def _key(self, place: int) -> tuple[Any, ...]:
        return tuple(self._setting(place, key) for key in self.keys)

    def _shown(self, place: int) -> dict[str, Any]:
        """Return the settings by which a run differs from the others."""
        return {
            key: self._setting(place, key) for key in dict.fromkeys([*self.keys, *self.over, *self.settings.varying])
        }

    def _read(self, measure: Measure, places: Sequence[int]) -> dict[int, Value]:
        """Return the values of the runs that have one.

        Raises:
            SelectionError: No run has one, whether it counts or not.
        """
        found = {place: one for place in places if (one := self.values.value(self.runs[place], measure)) is not None}
        if not found and self.runs and all(self.values.value(run, measure) is None for run in self.runs):
            if measure.time and any(self.values.value(run, Measure(measure.metric, "last")) for run in self.runs):
                raise SelectionError(f"{self.prefix}at: no run has logged {measure.metric} at {measure.pick}.")
            raise no_metric(measure.metric, self.runs, f"{self.prefix}of" if self.prefix else "aggregate")
        return found

    def _value_notes(self, measure: Measure, places: Sequence[int], found: Mapping[int, Value]) -> list[str]:
        without = [self.runs[place].name for place in places if place not in found]
        odd = [self.runs[place].name for place, one in found.items() if not math.isfinite(one.value)]
        lines = [f"No value of {measure.title}: {_runs(without)}."] if without else []
        return [*lines, f"{measure.title} is not finite: {_runs(odd)}."] if odd else lines

    def _launch_notes(self) -> list[str]:
        launched: dict[tuple[Any, ...], set[tuple[Any, ...]]] = {}
        for place in range(len(self.runs)):
            over = tuple(self._setting(place, key) for key in self.over)
            launched.setdefault(self._key(place), set()).add(over)
        inner = [key for key in self.settings.varying if key not in self.keys and not self._is_over(key)]
        mixed = [f"Each group has runs of several values of {', '.join(inner)}."] if inner else []
        return [*never_launched(launched, self.keys, self.over), *mixed]

    def _best(self, measure: Measure, found: Mapping[int, Value]) -> BestRun | None:
        values = {place: one for place, one in found.items() if not math.isnan(one.value)}
        if measure.pick not in ("max", "min") or not values:
            return None
        choose = max if measure.pick == "max" else min
        place = choose(values, key=lambda one: values[one].value)
        return BestRun(self.runs[place], measure.metric, values[place])


def _sorted(groups: Sequence[Group], measures: Sequence[Measure]) -> list[Group]:
    """Return groups with the best one first; in the order of their keys where it is unknown which is the best."""
    pick = measures[0].pick if measures else ""
    if pick not in ("max", "min"):
        return sorted(groups, key=lambda group: [order_of(value) for value in group.settings.values()])

    def order(group: Group) -> tuple[bool, float]:
        mean = group.cells[measures[0]].mean
        return math.isnan(mean), -mean if pick == "max" else mean

    return sorted(groups, key=order)


def _runs(names: Sequence[str]) -> str:
    return f"{'run' if len(names) == 1 else 'runs'} {path_ranges(names)}"
