"""Groups of runs with the mean and the spread of their metrics: as a sequence, a data frame, or a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from mlxp_core.results.frames import Columns, pandas_frame, polars_frame
from mlxp_core.results.group import BestRun, Group
from mlxp_core.results.run import Run
from mlxp_core.results.summary import Measure, check_spread
from mlxp_core.results.table_cells import Grid, grid
from mlxp_core.results.table_formats import to_html, to_text

if TYPE_CHECKING:
    import pandas
    import polars


@dataclass(frozen=True, repr=False)
class Aggregate(Sequence[Group]):
    """Groups of runs, the best one first.

    Attributes:
        keys: Keys by which the groups differ.
        measures: What was averaged.
        groups: The groups.
        left_out: Runs that do not count because another run has the same configuration.
        best: The run with the best value of the first measure; None if that is neither `max` nor `min`.
        notes: What does not count, and what is missing, in sentences.
    """

    keys: Sequence[str]
    measures: Sequence[Measure]
    groups: Sequence[Group]
    left_out: Sequence[Run]
    best: BestRun | None
    notes: Sequence[str]

    @overload
    def __getitem__(self, place: int) -> Group: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Group]: ...
    def __getitem__(self, place: int | slice) -> Group | Sequence[Group]:
        return self.groups[place]

    def __len__(self) -> int:
        return len(self.groups)

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)

    def columns(self, spread: str = "std") -> Columns:
        """Return the groups as columns: keys, and for each measure `<metric>.<pick>.mean`, `.std` and `.n`.

        Args:
            spread: `std` (sample standard deviation), `sem` (standard error of the mean), or `ci` (95 % interval by
                bootstrap, as `.low` and `.high`).

        Raises:
            SelectionError: There is no such spread.
        """
        check_spread(spread)
        columns: dict[str, list[Any]] = {key: [group.settings.get(key) for group in self.groups] for key in self.keys}
        for measure in self.measures:
            cells = [group.cells[measure] for group in self.groups]
            name = f"{measure.metric}.{measure.pick}"
            columns[f"{name}.mean"] = [cell.mean if cell.n else None for cell in cells]
            if spread == "ci":
                for place, end in enumerate(("low", "high")):
                    columns[f"{name}.{end}"] = [cell.interval and cell.interval[place] for cell in cells]
            else:
                columns[f"{name}.{spread}"] = [cell.spread(spread) for cell in cells]
            columns[f"{name}.n"] = [cell.n for cell in cells]
        return columns

    @property
    def runs(self) -> list[list[str]]:
        """For each group, the names of the runs that count."""
        return [[run.name for run in group.runs] for group in self.groups]

    def to_pandas(self, spread: str = "std") -> pandas.DataFrame:
        """Return a data frame with a row for each group; see `columns`.

        Raises:
            ExtraMissingError: pandas is not installed.
        """
        return pandas_frame(self.columns(spread))

    def to_polars(self, spread: str = "std") -> polars.DataFrame:
        """Return a data frame with a row for each group; see `columns`.

        Raises:
            ExtraMissingError: polars is not installed.
        """
        return polars_frame(self.columns(spread))

    def grid(self, *, spread: str = "std", pivot: str | None = None, mark: str | None = None) -> Grid:
        """Return the table of the groups; see `table_cells.grid`."""
        return grid(self.keys, self.measures, self.groups, spread=spread, pivot=pivot, mark=mark)

    def __repr__(self) -> str:
        table = self.grid()
        return "\n".join([to_text(table), "", table.caption, *self.notes])

    def _repr_html_(self) -> str:
        return to_html(self.grid(), self.notes)
