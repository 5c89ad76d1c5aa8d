"""Which value of a run's metric counts, and the mean and the spread of such values over several runs."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import NamedTuple

from mlxp_core.errors import SelectionError
from mlxp_core.metrics.history import TIMES

SPREADS = ("std", "sem", "ci")
_EXTREMES = ("max", "min", "last")
_RESAMPLES = 2_000


class Measure(NamedTuple):
    """A metric, and which of the values that a run logged counts.

    Attributes:
        metric: Name such as `test.accuracy`.
        pick: `max`, `min`, `last`, or a time such as `epoch=10`.
    """

    metric: str
    pick: str

    @property
    def title(self) -> str:
        """The name of its column."""
        return f"{self.metric} ({self.pick})"

    @property
    def time(self) -> tuple[str, float] | None:
        """The counter and its number in a time such as `epoch=10`; None for the others."""
        name, has_time, number = self.pick.partition("=")
        return (name, float(number)) if has_time else None


class Value(NamedTuple):
    """A number that a run logged, and when."""

    value: float
    epoch: float | None = None
    step: float | None = None

    @property
    def when(self) -> str:
        """The time in words: ` at epoch 8`; empty if none was logged."""
        for name, number in (("epoch", self.epoch), ("step", self.step)):
            if number is not None:
                return f" at {name} {number}"
        return ""


@dataclass(frozen=True)
class Cell:
    """The values of one measure in one group of runs."""

    values: tuple[float, ...]

    @property
    def n(self) -> int:
        """Number of values."""
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        """Their mean; NaN if there are none, or one is NaN."""
        return _mean(self.values)

    @cached_property
    def std(self) -> float | None:
        """Their sample standard deviation (division by n - 1); None for fewer than two values."""
        if self.n < 2:
            return None
        differences = [value - self.mean for value in self.values]
        return math.sqrt(sum(one * one for one in differences) / (self.n - 1))

    @property
    def sem(self) -> float | None:
        """The standard error of the mean; None for fewer than two values."""
        return None if self.std is None else self.std / math.sqrt(self.n)

    @cached_property
    def interval(self) -> tuple[float, float] | None:
        """The 95 % interval of the mean, by bootstrap; the same for the same values. None for fewer than two."""
        if self.n < 2 or not math.isfinite(self.mean):
            return None
        draws = random.Random(0)
        means = sorted(_mean(draws.choices(self.values, k=self.n)) for _ in range(_RESAMPLES))
        return means[round(0.025 * (_RESAMPLES - 1))], means[round(0.975 * (_RESAMPLES - 1))]

    def spread(self, kind: str) -> float | None:
        """Return the standard deviation, the standard error, or half the length of the interval; None without one."""
        if kind == "ci":
            return None if self.interval is None else (self.interval[1] - self.interval[0]) / 2
        return self.sem if kind == "sem" else self.std


def check_pick(pick: str, option: str) -> str:
    """Return a pick in its usual form.

    Args:
        pick: What the user wrote.
        option: Its name in messages.

    Raises:
        SelectionError: It is not max, min, last, or a time such as epoch=10.
    """
    if pick in _EXTREMES:
        return pick
    match = re.fullmatch(rf"({'|'.join(TIMES)})\s*==?\s*(\d+(?:\.\d+)?)", pick.strip())
    if match is None:
        close = get_close_matches(pick.lower(), _EXTREMES, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise SelectionError(f"{option} must be max, min, last, or a time such as epoch=10, got {pick!r}.{hint}")
    return f"{match[1]}={match[2]}"


def check_spread(spread: str) -> str:
    """Return the kind of spread.

    Raises:
        SelectionError: There is none of this name.
    """
    if spread not in SPREADS:
        raise SelectionError(f"spread must be one of {', '.join(SPREADS)}, got {spread!r}.")
    return spread


def _mean(values: Sequence[float]) -> float:
    if not values:
        return math.nan
    try:
        return math.fsum(values) / len(values)
    except (OverflowError, ValueError):  # infinities of both signs, or numbers whose sum is too large
        return sum(values) / len(values)
