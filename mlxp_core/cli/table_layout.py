"""Tables as lines of text: one line per row, numbers aligned at the point, fitted to the width of a terminal."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

from mlxp_core.console import escaped

_GAP = "  "
# Longer cells are cut before a column is left out, and columns of these names never
_LEAST_WIDTH = 24
_WHOLE = ("run", "status")
_NO_VALUE = "-"


class Layout(NamedTuple):
    """A table that is ready to be printed.

    Attributes:
        columns: Titles of the columns, padded.
        rows: Cells of each row, padded.
        status: Place of the column `status`; None if there is none.
        left_out: Titles of the columns that do not fit.
    """

    columns: list[str]
    rows: list[list[str]]
    status: int | None
    left_out: list[str]


def lay_out(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    width: int | None = None,
    spare: Sequence[str] = (),
    numbers: Collection[int] = (),
) -> Layout:
    """Lay out a table.

    Columns that do not fit are left out: first those in `spare`, then those on the right. Long texts are cut.

    Args:
        columns: Titles of the columns.
        rows: Cells of each row.
        width: Width of the terminal; None for any.
        spare: Titles of columns to leave out first, in this order.
        numbers: Places of the columns whose cells may be numbers.
    """
    columns = list(map(_one_line, columns))
    cells = [list(map(_one_line, column)) for column in zip(*rows, strict=True)] or [[] for _ in columns]
    for place in numbers:
        cells[place] = _aligned(cells[place])
    natural = [max(map(len, [title, *column])) for title, column in zip(columns, cells, strict=True)]
    kept, widths = _fitted(columns, natural, width, spare)
    padded = [[_cut(cell, size).ljust(size) for cell in cells[place]] for place, size in zip(kept, widths, strict=True)]
    return Layout(
        [_cut(columns[place], size).ljust(size) for place, size in zip(kept, widths, strict=True)],
        [list(row) for row in zip(*padded, strict=True)],
        next((at for at, place in enumerate(kept) if columns[place] == "status"), None),
        [title for place, title in enumerate(columns) if place not in kept],
    )


def lines(layout: Layout) -> list[str]:
    """Return the lines of a table without colors and rules."""
    return [_GAP.join(row).rstrip() for row in (layout.columns, *layout.rows)]


def rule(layout: Layout) -> str:
    """Return a line as wide as the table."""
    return "─" * len(_GAP.join(layout.columns))


def _one_line(text: str) -> str:
    return text if text.isprintable() else escaped(text, one_line=True)


def _fitted(
    columns: Sequence[str], natural: Sequence[int], width: int | None, spare: Sequence[str]
) -> tuple[list[int], list[int]]:
    """Return the places of the columns that fit, and their widths."""
    kept = list(range(len(columns)))
    if width is None:
        return kept, list(natural)
    least = [size if title in _WHOLE else min(size, _LEAST_WIDTH) for title, size in zip(columns, natural, strict=True)]

    def room() -> int:
        return width - sum(least[place] + len(_GAP) for place in kept) + len(_GAP)

    for title in spare:
        if room() >= 0:
            break
        kept = [place for place in kept if columns[place] != title]
    while room() < 0 and len(kept) > 1:
        kept.pop()
    left, widths = max(0, room()), []
    for place in kept:
        more = min(left, natural[place] - least[place])
        left -= more
        widths.append(least[place] + more)
    return kept, widths


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _aligned(cells: Sequence[str]) -> list[str]:
    """Return cells that are numbers with their points below each other; texts as they are."""
    try:
        places = [len(cell) if cell == _NO_VALUE else _point(cell) for cell in cells]
    except ValueError:
        return list(cells)
    before = max(places, default=0)
    return [" " * (before - place) + cell for cell, place in zip(cells, places, strict=True)]


def _point(number: str) -> int:
    """Return where the point of a number is, or would be.

    Raises:
        ValueError: It is not a number.
    """
    float(number)
    return next((place for mark in ".e" if (place := number.find(mark)) >= 0), len(number))
