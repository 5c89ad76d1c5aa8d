"""Which runs count in a comparison, and sentences about those that do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlxp_core.console import NAMED
from mlxp_core.paths import path_ranges
from mlxp_core.results.group import named
from mlxp_core.results.run import Run
from mlxp_core.results.settings import Settings


@dataclass(frozen=True)
class Counted:
    """The runs of a comparison.

    Attributes:
        places: Places of the runs that count.
        left_out: Places of the runs that do not count because another run has the same configuration.
        absent: Places of the last runs of configurations without a run that counts.
    """

    places: Sequence[int]
    left_out: Sequence[int]
    absent: Sequence[int]


def count_runs(runs: Sequence[Run], settings: Settings, *, reruns: str, incomplete: bool) -> Counted:
    """Choose the runs that count: of those with the same configuration, the last COMPLETE one.

    Args:
        runs: The runs.
        settings: Their settings.
        reruns: `all` to count all COMPLETE runs of a configuration; `latest` for the last one only.
        incomplete: Whether a configuration without a COMPLETE run is represented by its last run.
    """
    by_identity: dict[tuple[Any, ...], list[int]] = {}
    for place in sorted(range(len(runs)), key=lambda one: runs[one].place):
        by_identity.setdefault(settings.identity(place), []).append(place)
    counted, left_out, absent = set(), set(), []
    for places in by_identity.values():
        complete = [place for place in places if runs[place].status == "COMPLETE"]
        chosen = complete if reruns == "all" else complete[-1:]
        if not chosen and incomplete:
            chosen = places[-1:]
        counted |= set(chosen)
        if chosen:
            left_out |= set(places) - set(chosen)
        else:
            absent.append(places[-1])
    everywhere = range(len(runs))
    return Counted(
        [one for one in everywhere if one in counted], [one for one in everywhere if one in left_out], absent
    )


def left_out_note(runs: Sequence[Run]) -> list[str]:
    """Return a sentence on the runs whose configuration another run has."""
    if not runs:
        return []
    noun = "1 run is" if len(runs) == 1 else f"{len(runs)} runs are"
    names = path_ranges(run.name for run in sorted(runs, key=lambda run: run.place))
    return [f"{noun} left out ({names}): the last COMPLETE run with the same configuration counts."]


def absent_notes(runs: Sequence[Run], settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line for each run that is not COMPLETE.

    Args:
        runs: The runs.
        settings: For each of them, by what it differs from the others.
    """
    lines = [
        f"Run {run.name} does not count: it is {run.status} ({named(one)})."
        for run, one in zip(runs[:NAMED], settings, strict=False)
    ]
    if len(runs) > NAMED:
        rest = path_ranges(run.name for run in runs[NAMED:])
        lines.append(f"{len(runs) - NAMED} more are not COMPLETE: {rest}.")
    return lines


def never_launched(
    groups: Mapping[tuple[Any, ...], set[tuple[Any, ...]]], keys: Sequence[str], over: Sequence[str]
) -> list[str]:
    """Return a line for each group that lacks values that half of the groups have, and has most of these.

    Args:
        groups: For each group, by its values of `keys`, the values of `over` that were launched.
        keys: Keys by which the groups differ.
        over: Keys over which they are averaged.
    """
    numbers = Counter(value for found in groups.values() for value in found)
    usual = [value for value, number in numbers.items() if 2 * number >= len(groups)] if over else []
    lines = []
    for group, found in groups.items():
        missing = [value for value in usual if value not in found]
        if missing and 2 * len(missing) < len(usual):  # more are left out by design
            names = ", ".join(named(dict(zip(over, value, strict=True))) for value in missing)
            of = named(dict(zip(keys, group, strict=True)))
            lines.append(f"Never launched: {names}{f' of {of}' if of else ''}.")
    more = [f"{len(lines) - NAMED} more groups lack runs."] if len(lines) > NAMED else []
    return [*lines[:NAMED], *more]
