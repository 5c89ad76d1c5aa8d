"""The cells of a table of groups: one or two dimensions, sensible digits, the best cell of each measure marked."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median_low
from typing import Any, NamedTuple

from mlxp_core.results.group import Group, text_of_setting
from mlxp_core.results.summary import Cell, Measure

# More decimals than these are written as powers of ten
_MAX_DECIMALS = 8
_MAX_PLAIN = 1e7
_SPREAD_NAMES = {"std": "sample standard deviation", "sem": "standard error", "ci": "95 % interval (bootstrap)"}


class TableCell(NamedTuple):
    """The text of a cell, and whether it is the best one of its measure."""

    text: str
    is_best: bool = False


class Grid(NamedTuple):
    """A table of texts.

    Attributes:
        header: Titles of the columns.
        rows: Cells of each row.
        labels: Number of columns at the left that hold settings.
        caption: What the cells show.
    """

    header: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    labels: int
    caption: str


def grid(
    keys: Sequence[str],
    measures: Sequence[Measure],
    groups: Sequence[Group],
    *,
    spread: str = "std",
    pivot: str | None = None,
    mark: str | None = None,
) -> Grid:
    """Return the table of groups.

    Args:
        keys: Keys by which the groups differ.
        measures: What the cells show.
        groups: The groups.
        spread: `std`, `sem` or `ci`.
        pivot: Key whose values become columns.
        mark: `max` or `min`: which value is the best one of measures that are neither; None to mark none of those.
    """
    texts = {measure: _texts(measure, groups, spread, mark) for measure in measures}
    row_keys = [key for key in keys if key != pivot]
    header = [*row_keys]
    values: list[Any] = [None] if pivot is None else list(dict.fromkeys(group.settings.get(pivot) for group in groups))
    if pivot is not None:
        values.sort(key=order_of)
    for measure in measures:
        for value in values:
            place = "" if pivot is None else f"{pivot}={text_of_setting(value)}"
            header.append(place if place and len(measures) == 1 else f"{measure.title} {place}".rstrip())
    lines: dict[tuple[Any, ...], dict[tuple[Measure, Any], TableCell]] = {}
    for index, group in enumerate(groups):
        line = lines.setdefault(tuple(group.settings.get(key) for key in row_keys), {})
        for measure in measures:
            line[measure, None if pivot is None else group.settings.get(pivot)] = texts[measure][index]
    rows = [
        [*(TableCell(text_of_setting(one)) for one in settings)]
        + [line.get((measure, value), TableCell("-")) for measure in measures for value in values]
        for settings, line in lines.items()
    ]
    return Grid(header, rows, len(row_keys), _caption(measures, groups, spread, has_pivot=pivot is not None))


def order_of(value: Any) -> tuple[int, float, str]:
    """Return a sort key that places numbers, by value, before strings, and nothing at the end."""
    if value is None:
        return 2, 0, ""
    return (0, float(value), "") if isinstance(value, (int, float)) else (1, 0, str(value))


def best_of(measure: Measure, groups: Sequence[Group], mark: str | None) -> float | None:
    """Return the best mean of a measure; None if there is none, or it is unknown which is the best."""
    means = [mean for group in groups if not math.isnan(mean := group.cells[measure].mean)]
    direction = measure.pick if measure.pick in ("max", "min") else mark
    if direction is None or not means:
        return None
    return max(means) if direction == "max" else min(means)


def _texts(measure: Measure, groups: Sequence[Group], spread: str, mark: str | None) -> list[TableCell]:
    cells = [group.cells[measure] for group in groups]
    decimals = [_decimals(one) for cell in cells if (one := cell.spread(spread))]
    common = median_low(decimals) if decimals else None
    best = best_of(measure, groups, mark) if len(groups) > 1 else None
    usual = _usual_n(groups)
    found = []
    for cell in cells:
        text = _text(cell, spread, common)
        if cell.n not in (0, usual):
            text += f" ({cell.n})"
        found.append(TableCell(text, best is not None and cell.mean == best))
    return found


def _text(cell: Cell, spread: str, decimals: int | None) -> str:
    """Return a mean with its spread, such as `61.3 ± 0.4`."""
    if not cell.n:
        return "-"
    size = cell.spread(spread)
    if not math.isfinite(cell.mean) or decimals is None:
        return f"{cell.mean:.4g}"
    if size and _decimals(size) > decimals and round(size, decimals) == 0:
        decimals = _decimals(size)
    is_plain = decimals <= _MAX_DECIMALS and abs(cell.mean) < _MAX_PLAIN
    kind = f".{decimals}f" if is_plain else ".3e"
    if spread == "ci" and cell.interval is not None:
        return f"{cell.mean:{kind}} [{cell.interval[0]:{kind}}, {cell.interval[1]:{kind}}]"
    return f"{cell.mean:{kind}}" + ("" if size is None else f" ± {size:{kind if is_plain else '.0e'}}")


def _decimals(spread: float) -> int:
    """Return the decimals that show one digit of a spread, or two if the first one is 1."""
    if not math.isfinite(spread):
        return 0
    exponent = math.floor(math.log10(spread))
    return max(0, -exponent + int(spread / 10.0**exponent < 1.95))


def _usual_n(groups: Sequence[Group]) -> int:
    counts = Counter(cell.n for group in groups for cell in group.cells.values() if cell.n)
    return counts.most_common(1)[0][0] if counts else 0


def _caption(measures: Sequence[Measure], groups: Sequence[Group], spread: str, *, has_pivot: bool) -> str:
    of = f" of {measures[0].title}" if has_pivot and len(measures) == 1 else ""
    usual = _usual_n(groups)
    if usual == 1 and all(cell.n <= 1 for group in groups for cell in group.cells.values()):
        return f"One run per cell{of}."
    sizes = {cell.n for group in groups for cell in group.cells.values() if cell.n}
    return f"Mean ± {_SPREAD_NAMES[spread]}{of}, n = {usual}{'' if len(sizes) < 2 else ' unless given in parentheses'}."
