"""Watching the runs of a directory until they are finished."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from mlxp_core.results.rows import Row, shared_overrides
from mlxp_core.runs.reader import RunReader, RunRecord
from mlxp_core.status.resolver import StatusResolver
from mlxp_core.status.rules import ResolvedStatus


@dataclass(frozen=True)
class Change:
    """A run whose status has changed.

    Attributes:
        at: Time of the observation, HH:MM:SS on this machine's clock.
        row: The run.
        before: Its previous status; None for a new run.
    """

    at: str
    row: Row
    before: str | None


@dataclass(frozen=True)
class Look:
    """The watched runs at one moment.

    Attributes:
        rows: All watched runs.
        changes: Changes since the previous look.
        notes: Messages for the user, such as a scheduler that did not respond.
    """

    rows: Sequence[Row]
    changes: Sequence[Change]
    notes: Sequence[str]

    @property
    def finished(self) -> int:
        """Number of finished runs."""
        return sum(row.resolved.is_finished for row in self.rows)

    @property
    def has_failed(self) -> bool:
        """Whether a finished run did not complete."""
        return any(row.resolved.has_failed for row in self.rows)

    @property
    def counts(self) -> Counter[str]:
        """Number of runs by status."""
        return Counter(row.resolved.status for row in self.rows)


class Watch:
    """Looks repeatedly at the runs of a directory.

    Among several sweeps it watches those with a run that is not finished at the first look, or the last sweep if all
    runs are finished. It also watches all runs that are added later.

    Raises:
        NoRunsError: There is no such directory.
    """

    def __init__(self, directory: Path) -> None:
        self._reader = RunReader(directory)
        self._resolver = StatusResolver()
        self._statuses: dict[str, str] = {}
        self._left_out: set[str] = set()
        self._is_first = True

    def look(self) -> Look:
        """Resolve the statuses now, with a single query per scheduler.

        Raises:
            NoRunsError: There are no runs.
        """
        runs = [run for run in self._reader.read() if run.path not in self._left_out]
        found = list(zip(runs, self._resolver.resolve(runs), strict=True))
        is_first, self._is_first = self._is_first, False
        if is_first:
            found = self._choose(found)
        shared = frozenset(shared_overrides([run for run, _ in found]))
        rows = [Row(run, resolved, self._reader.cache, shared) for run, resolved in found]
        now = f"{datetime.now():%H:%M:%S}"
        changes = [
            Change(now, row, self._statuses.get(row.run.path))
            for row in rows
            if self._statuses.get(row.run.path) != row.resolved.status
        ]
        self._statuses = {row.run.path: row.resolved.status for row in rows}
        return Look(rows, [] if is_first else changes, list(self._resolver.notes))

    def save(self) -> None:
        """Save the cache for the next command."""
        self._reader.cache.save()

    def _choose(self, found: Sequence[tuple[RunRecord, ResolvedStatus]]) -> list[tuple[RunRecord, ResolvedStatus]]:
        active = {_sweep(run) for run, resolved in found if not resolved.is_finished} or {_sweep(found[-1][0])}
        self._left_out = {run.path for run, _ in found if _sweep(run) not in active}
        return [pair for pair in found if pair[0].path not in self._left_out]


def _sweep(run: RunRecord) -> str:
    """Return the directory of a run's sweep, or its own if it has no sweep."""
    if run.launch is not None:
        return str(run.launch.directory.parent)
    return str(run.submission.sweep) if run.submission is not None else run.path


def pause(look_took_s: float, interval_s: float) -> float:
    """Return the seconds to wait before the next look, so that looking takes at most a tenth of the time."""
    return max(interval_s, 9 * look_took_s)
