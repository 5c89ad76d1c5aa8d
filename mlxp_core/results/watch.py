"""Watching the runs of a directory until they are over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mlxp_core.results.rows import Row, shared_overrides
from mlxp_core.runs.reader import RunReader, RunRecord
from mlxp_core.status.resolver import StatusResolver


@dataclass(frozen=True)
class Change:
    """A run that has another status than the last time.

    Attributes:
        at: when that was seen, on this machine's clock.
        row: the run.
        before: its status before; None for a run that was not there.
    """

    at: str
    row: Row
    before: str | None


@dataclass(frozen=True)
class Look:
    """The watched runs at one moment.

    Attributes:
        rows: all of them.
        changes: since the last look, those of it alone.
        notes: what the user should know, such as that a scheduler does not answer.
    """

    rows: Sequence[Row]
    changes: Sequence[Change]
    notes: Sequence[str]

    @property
    def over(self) -> int:
        """How many are over."""
        return sum(row.resolved.is_finished for row in self.rows)

    @property
    def has_failed(self) -> bool:
        """Whether one is over and did not complete."""
        return any(row.resolved.has_failed for row in self.rows)

    @property
    def counts(self) -> Counter[str]:
        """How many have each status."""
        return Counter(row.resolved.status for row in self.rows)


class Watch:
    """Looks at a directory's runs again and again.

    Of many sweeps it watches those with a run that is not over, or the last one when all are; and all runs that come.

    Raises:
        NoRunsError: there is no such directory.
    """

    def __init__(self, directory: Path) -> None:
        self._reader = RunReader(directory)
        self._states = StatusResolver()
        self._statuses: dict[str, str] = {}
        self._left_out: set[str] = set()
        self._is_first = True

    def look(self) -> Look:
        """Look at them now, with one question to each scheduler.

        Raises:
            NoRunsError: there are none.
        """
        runs = [run for run in self._reader.read() if run.path not in self._left_out]
        statuses = self._states.resolve(runs)
        shared = frozenset(shared_overrides(runs))
        rows = [Row(run, resolved, self._reader.cache, shared) for run, resolved in zip(runs, statuses, strict=True)]
        is_first, self._is_first = self._is_first, False
        if is_first:
            rows = self._first(rows)
        now = f"{datetime.now():%H:%M:%S}"
        changes = [
            Change(now, row, self._statuses.get(row.run.path))
            for row in rows
            if self._statuses.get(row.run.path) != row.resolved.status
        ]
        self._statuses = {row.run.path: row.resolved.status for row in rows}
        return Look(rows, [] if is_first else changes, list(self._states.notes))

    def save(self) -> None:
        """Keep what was read for the next command."""
        self._reader.cache.save()

    def _first(self, rows: Sequence[Row]) -> list[Row]:
        opened = {_sweep(row.run) for row in rows if not row.resolved.is_finished} or {_sweep(rows[-1].run)}
        chosen = [row for row in rows if _sweep(row.run) in opened]
        self._left_out = {row.run.path for row in rows} - {row.run.path for row in chosen}
        return chosen


def _sweep(run: RunRecord) -> str:
    """What a run belongs to: its sweep, or itself alone."""
    if run.launch is not None:
        return str(run.launch.directory.parent)
    return str(run.submission.sweep) if run.submission is not None else run.path


def pause(look_took_s: float, interval_s: float) -> float:
    """How long to wait for the next look, in seconds: looking takes a tenth of the time at most."""
    return max(interval_s, 9 * look_took_s)
