"""Tables of groups as text: plain, LaTeX, Markdown, HTML, CSV and JSON."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from mlxp_core.results.table_cells import Grid, TableCell

_LATEX = {
    "\\": r"\textbackslash{}",
    "±": r"$\pm$",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
}


def text_cells(table: Grid) -> list[list[str]]:
    """Return the cells as plain text; a star marks the best one."""
    return [[f"{cell.text} *" if cell.is_best else cell.text for cell in row] for row in table.rows]


def to_text(table: Grid) -> str:
    """Return the table as lines of aligned columns."""
    rows = [list(table.header), *text_cells(table)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
    return "\n".join(lines)


def to_latex(table: Grid) -> str:
    r"""Return a `tabular` for the package booktabs, with the best cells in bold."""
    columns = "l" * table.labels + "c" * (len(table.header) - table.labels)
    lines = [
        rf"% {_latex(table.caption)} Needs \usepackage{{booktabs}}.",
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        rf"{' & '.join(map(_latex, table.header))} \\",
        r"\midrule",
        *(rf"{' & '.join(_latex_cell(cell) for cell in row)} \\" for row in table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines)


def to_markdown(table: Grid) -> str:
    """Return a Markdown table, with the best cells in bold."""

    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    rules = ["---"] * table.labels + ["---:"] * (len(table.header) - table.labels)
    rows = (
        [_markdown(cell.text) if not cell.is_best else f"**{_markdown(cell.text)}**" for cell in row]
        for row in table.rows
    )
    return "\n".join([line([_markdown(title) for title in table.header]), line(rules), *map(line, rows)])


def to_html(table: Grid, notes: Sequence[str] = ()) -> str:
    """Return an HTML table, with the best cells in bold and what else is to be said below it."""
    head = "".join(f"<th>{html.escape(title)}</th>" for title in table.header)
    rows = (f"<tr>{''.join(_html_cell(cell) for cell in row)}</tr>" for row in table.rows)
    below = "".join(f"<p>{html.escape(note)}</p>\n" for note in (table.caption, *notes) if note)
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + f"\n</tbody>\n</table>\n{below}"


def to_csv(columns: Mapping[str, Sequence[Any]]) -> str:
    """Return columns as CSV, with all digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return text.getvalue().rstrip("\n")


def to_json(columns: Mapping[str, Sequence[Any]], runs: Sequence[Sequence[str]]) -> str:
    """Return columns as a list of objects, one per line, with the runs of each; what is not finite is null."""
    lines = []
    for values, names in zip(zip(*columns.values(), strict=True), runs, strict=True):
        plain = [None if isinstance(value, float) and not isfinite(value) else value for value in values]
        row = {**dict(zip(columns, plain, strict=True)), "runs": list(names)}
        lines.append(json.dumps(row, default=str, ensure_ascii=False))
    return "[\n" + ",\n".join(lines) + "\n]"


def _latex(text: str) -> str:
    return re.sub(r"[\\±~^&%$#_{}]", lambda match: _LATEX[match[0]], text)


def _latex_cell(cell: TableCell) -> str:
    return rf"\textbf{{{_latex(cell.text)}}}" if cell.is_best else _latex(cell.text)


def _markdown(text: str) -> str:
    return re.sub(r"([|*_`<\\])", r"\\\1", " ".join(text.split()))


def _html_cell(cell: TableCell) -> str:
    text = html.escape(cell.text)
    return f"<td><strong>{text}</strong></td>" if cell.is_best else f"<td>{text}</td>"
