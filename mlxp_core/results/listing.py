"""Listing the runs of a directory with their statuses, filtered and sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from mlxp_core.errors import SelectionError
from mlxp_core.results.conditions import ABSENT, parse_condition
from mlxp_core.results.rows import COLUMNS, Row, shared_overrides, sort_rows
from mlxp_core.runs.file_cache import FileCache
from mlxp_core.runs.info import RunStatus
from mlxp_core.runs.reader import RunReader
from mlxp_core.schedulers.job_state import STATES
from mlxp_core.status.resolver import StatusResolver


@dataclass(frozen=True)
class Listing:
    """The runs of a directory.

    Attributes:
        rows: The runs, in the order of their numbers.
        shared: Overrides that all runs have.
        notes: Messages for the user, such as a scheduler that did not respond.
        cache: Cache that the caller saves after it has used the rows.
    """

    rows: Sequence[Row]
    shared: Sequence[str]
    notes: Sequence[str]
    cache: FileCache


def list_runs(directory: Path) -> Listing:
    """List all runs of a directory.

    Raises:
        NoRunsError: There are no runs.
        RunDirectoryError: The directory cannot be read.
    """
    reader, resolver = RunReader(directory), StatusResolver()
    runs = reader.read()
    shared = shared_overrides(runs)
    common = frozenset(shared)
    statuses = resolver.resolve(runs)
    rows = [Row(run, resolved, reader.cache, common) for run, resolved in zip(runs, statuses, strict=True)]
    return Listing(rows, shared, resolver.notes, reader.cache)


def choose(rows: Sequence[Row], *, status: str | None, where: str | None, sort: str | None) -> list[Row]:
    """Filter and sort rows.

    Args:
        rows: The rows.
        status: Statuses to keep, separated by commas; None for all.
        where: Condition that rows must meet; None for none.
        sort: Column, metric or key to sort by, `-key` for descending order; None for the present order.

    Raises:
        SelectionError: There is no such status, or no run has the key.
        ConditionError: The condition cannot be parsed.
    """
    chosen = list(rows)
    if status is not None:
        words = {word.strip().upper() for word in status.split(",") if word.strip()}
        check_statuses(words, rows)
        chosen = [row for row in chosen if row.resolved.status in words]
    if where is not None:
        condition = parse_condition(where)
        for comparison in condition.comparisons:
            if not any(row.find(comparison.key) is not ABSENT for row in chosen) and chosen:
                raise SelectionError(_no_key("--where", comparison.key, chosen))
        chosen = [row for row in chosen if condition.holds(row.find)]
    if sort is not None:
        check_columns(chosen, [sort.removeprefix("-")], "--sort")
        chosen = sort_rows(chosen, sort)
    return chosen


def check_columns(rows: Sequence[Row], names: Sequence[str], option: str = "--columns") -> None:
    """Check that each name is a column, or a metric or key of some run.

    Raises:
        SelectionError: A name is neither.
    """
    for name in names:
        if name not in COLUMNS and rows and all(row.value(name) is ABSENT for row in rows):
            raise SelectionError(_no_key(option, name, rows))


def _no_key(option: str, name: str, rows: Sequence[Row]) -> str:
    known = [*COLUMNS, *dict.fromkeys(key for row in rows[:100] for key in _names(row))]
    close = get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"columns are {', '.join(COLUMNS)}."
    return f"{option}: no run has {name!r} as a metric or a configuration key; {hint}"


def _names(row: Row) -> list[str]:
    return [*row.metrics, *row.counters, *_keys(row.config), *(key for key in row.choices if "hydra" not in key)]


def _keys(config: dict[str, object], prefix: str = "") -> list[str]:
    found = []
    for key, value in config.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, dict):
            found += _keys(value, f"{prefix}{key}.")
    return found


def check_statuses(words: set[str], rows: Sequence[Row]) -> None:
    """Check that statuses exist.

    Raises:
        SelectionError: There is no such status.
    """
    known = {*STATES, *RunStatus.__members__, "UNKNOWN", "DAMAGED", "NOT_SUBMITTED", "NEVER_LAUNCHED"}
    known |= {row.resolved.status for row in rows}
    for word in sorted(words - known):
        close = get_close_matches(word, known, n=1)
        hint = f"did you mean {close[0]}?" if close else f"statuses are {', '.join(sorted(known))}."
        raise SelectionError(f"--status: there is no status {word}; {hint}")
