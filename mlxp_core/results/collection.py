"""The runs of a directory for Python: `read_runs("logs")`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, overload

from mlxp_core.console import count
from mlxp_core.errors import ConditionError, SelectionError
from mlxp_core.results.frames import Columns, pandas_frame, polars_frame
from mlxp_core.results.garbage import without_garbage_collection
from mlxp_core.results.group import BestRun
from mlxp_core.results.groups import Groups
from mlxp_core.results.listing import choose, list_runs
from mlxp_core.results.run import Run
from mlxp_core.results.run_columns import overview, record_columns, run_columns
from mlxp_core.results.settings import Settings, read_settings
from mlxp_core.results.table_formats import to_html
from mlxp_core.results.values import ValueReader
from mlxp_core.runs.file_cache import FileCache

if TYPE_CHECKING:
    import pandas
    import polars


@dataclass(frozen=True)
class _Source:
    """The directory that was read, and the caches of its files."""

    directory: Path
    cache: FileCache
    values: ValueReader
    count: int


class Runs(Sequence[Run]):
    """Runs in the order of their numbers. Their files are read when they are asked for.

    Attributes:
        notes: Messages, such as a scheduler that did not respond.
    """

    def __init__(self, runs: Sequence[Run], source: _Source, notes: Sequence[str] = ()) -> None:
        self._runs = list(runs)
        self._source = source
        self.notes = list(notes)

    @overload
    def __getitem__(self, place: int) -> Run: ...
    @overload
    def __getitem__(self, place: slice) -> Runs: ...
    def __getitem__(self, place: int | slice) -> Run | Runs:
        return self._with(self._runs[place]) if isinstance(place, slice) else self._runs[place]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def filter(self, where: str | None = None, status: str | None = None) -> Runs:
        """Return the runs that meet a condition and have one of some statuses; the arguments are as for `read_runs`.

        Raises:
            ConditionError: The condition cannot be parsed.
            SelectionError: No run has its key, or there is no such status.
        """
        return self._chosen(where=where, status=status, sort=None)

    def sort(self, key: str) -> Runs:
        """Return the runs sorted by a metric, a key of the configuration or a column; `-key` for descending order.

        Raises:
            SelectionError: No run has the key.
        """
        return self._chosen(where=None, status=None, sort=key)

    def diff(self) -> list[str]:
        """Return the keys of the configuration whose values differ between these runs."""
        return list(self._settings.varying)

    def over(self, *keys: str) -> Groups:
        """Return the runs in groups of all keys that vary, except these; `aggregate` then averages over these."""
        return self.groups(over=keys)

    def by(self, *keys: str) -> Groups:
        """Return the runs in groups of these keys; `aggregate` then averages over all others."""
        return self.groups(by=keys)

    def groups(self, *, over: Sequence[str] = (), by: Sequence[str] | None = None, prefix: str = "") -> Groups:
        """Return the runs in groups of the keys `by`, or of all keys that vary except `over`.

        Args:
            over: Keys over which to average.
            by: Keys of the groups; None for all that vary.
            prefix: What the names of these arguments begin with in messages.
        """
        return Groups(self._runs, self._source.values, tuple(over), None if by is None else tuple(by), prefix)

    def best(self, metric: str, pick: str = "max") -> BestRun | None:
        """Return the COMPLETE run with the highest value of a metric in any epoch; None if no run is COMPLETE.

        Args:
            metric: Name such as `test.accuracy`.
            pick: `max`, or `min` for the lowest value.

        Raises:
            SelectionError: No run has the metric.
        """
        return self.by().aggregate({metric: pick}, reruns="all").best

    def to_pandas(self, metrics: str | None = None) -> pandas.DataFrame:
        """Return a data frame with a row for each run, or, of the metrics of one log, for each logged record.

        Args:
            metrics: Name of the log, such as `train`, for the columns `run`, `epoch` or `step`, and its values; None
                for the columns `run`, `status`, settings, last metrics, `commit`, times, ...

        Raises:
            ExtraMissingError: pandas is not installed.
            SelectionError: No run has such metrics.
        """
        return pandas_frame(self.columns(metrics))

    def to_polars(self, metrics: str | None = None) -> polars.DataFrame:
        """Return the same as `to_pandas` as a data frame of polars.

        Raises:
            ExtraMissingError: polars is not installed.
            SelectionError: No run has such metrics.
        """
        return polars_frame(self.columns(metrics))

    def columns(self, metrics: str | None = None) -> Columns:
        """Return the columns of `to_pandas` as lists, without any other library."""
        with without_garbage_collection():
            if metrics is not None:
                return record_columns(self._runs, metrics)
            columns = run_columns(self._runs, self._settings)
        if len(self) == self._source.count:
            self._source.cache.save()
            self._source.values.cache.save()
        return columns

    @cached_property
    def _settings(self) -> Settings:
        return read_settings([run.row for run in self._runs], self._source.values.cache)

    def _with(self, runs: Sequence[Run]) -> Runs:
        return Runs(runs, self._source, self.notes)

    def _chosen(self, *, where: str | None, status: str | None, sort: str | None) -> Runs:
        by_row = {id(run.row): run for run in self._runs}
        try:
            rows = choose([run.row for run in self._runs], status=status, where=where, sort=sort)
        except (ConditionError, SelectionError) as error:
            raise type(error)(str(error).removeprefix("--")) from error
        return self._with([by_row[id(row)] for row in rows])

    def __repr__(self) -> str:
        statuses = Counter(run.status for run in self._runs).most_common()
        return f"<{count(self._runs, 'run')}: {', '.join(f'{number} {status}' for status, number in statuses)}>"

    def _repr_html_(self) -> str:
        return to_html(*overview(self._runs, self._settings))


def read_runs(directory: str | Path = "logs", *, where: str | None = None, status: str | None = None) -> Runs:
    """Read the runs of a directory, with verified statuses.

    Args:
        directory: Directory of numbered runs, Hydra's multirun or a directory in it, or one run.
        where: Condition on configuration and metrics, such as `optimizer.lr>=0.01 and seed==1`; None for all runs.
        status: Statuses, separated by commas, such as `COMPLETE`; None for all.

    Raises:
        NoRunsError: There is no such directory, or there are no runs in it.
        RunDirectoryError: The directory cannot be read.
        ConditionError: The condition cannot be parsed.
        SelectionError: No run has its key, or there is no such status.
    """
    path = Path(directory).expanduser()
    with without_garbage_collection():
        listing = list_runs(path)
        runs = [Run(row, place) for place, row in enumerate(listing.rows)]
        is_run = len(runs) == 1 and runs[0].path == path.absolute()
        source = _Source(path, listing.cache, ValueReader(None if is_run else path.absolute()), len(runs))
        return Runs(runs, source, listing.notes).filter(where=where, status=status)
