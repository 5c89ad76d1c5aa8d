"""`mlxp ls`: prints a table of runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core.cli.options import directory_argument, whole_list
from mlxp_core.console import say

if TYPE_CHECKING:
    from mlxp_core.results.rows import Row

_COLUMNS = ("run", "status", "scheduler", "job", "started", "elapsed", "overrides", "metrics")
# Columns that are left out on a narrow terminal, first one first
_SPARE = ("scheduler", "started", "job", "elapsed")


@click.command()
@directory_argument
@click.option(
    "--status",
    metavar="WORD,...",
    callback=whole_list,
    help="Only runs with one of these statuses, such as FAILED,TIMEOUT.",
)
@click.option(
    "--where",
    metavar="CONDITION",
    help="Only runs whose configuration or metrics match, such as 'model==mlp and optimizer.lr>=0.01'. "
    "Operators: == != < <= > >=.",
)
@click.option(
    "--sort",
    metavar="KEY",
    help="Sort by a metric, a key of the configuration, or a column; -KEY for descending order.",
)
@click.option(
    "--columns",
    metavar="NAME,...",
    callback=whole_list,
    help="Show these columns, metrics and keys of the configuration.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def ls(
    directory: Path,
    status: str | None,
    where: str | None,
    sort: str | None,
    columns: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """List runs with their status, overrides and latest metrics.

    DIR is a directory of numbered runs (default: logs), Hydra's multirun or a directory in it, or one run.

    \b
    Examples:
      mlxp ls --status FAILED,TIMEOUT
      mlxp ls --where 'optimizer.lr>=0.01' --sort -test.accuracy
      mlxp ls --columns run,status,optimizer.lr,test.accuracy
      mlxp ls multirun
    """
    import gc

    from mlxp_core.actions.selection import check_directory
    from mlxp_core.results.listing import choose, list_runs

    gc.disable()  # this program makes little garbage, and searching for it takes a third of the time
    if as_json and as_csv:
        raise click.UsageError("--json and --csv cannot be combined.")
    check_directory(directory)
    listing = list_runs(directory)
    rows = choose(listing.rows, status=status, where=where, sort=sort)
    names = [name.strip() for name in columns.split(",")] if columns else list(_COLUMNS)
    _print(rows, names, listing.shared, columns=columns, as_json=as_json, as_csv=as_csv)
    listing.cache.save()
    for note in listing.notes:
        say(note, sys.stderr)


def _print(
    rows: Sequence[Row], names: list[str], shared: Sequence[str], *, columns: str | None, as_json: bool, as_csv: bool
) -> None:
    from mlxp_core.cli.tables import print_table, text_of
    from mlxp_core.results.columns import table_columns
    from mlxp_core.results.listing import check_columns

    check_columns(rows, names)
    if as_json:
        from mlxp_core.cli.exports import print_json

        print_json(rows, names if columns else None)
    elif as_csv:
        from mlxp_core.cli.exports import print_csv

        print_csv(rows, names if columns else None)
    else:
        now = time.time()
        if not columns:
            names = [name for name in names if name in ("run", "status") or any(_has(row, name) for row in rows)]
        if shared and "overrides" in names:
            say(f"All runs: {' '.join(shared)}")
        if rows:
            found = table_columns(names, rows)
            cells = [[text_of(column.kind, column.value(row), now) for column in found] for row in rows]
            numbers = [place for place, column in enumerate(found) if not column.kind]
            print_table([column.title for column in found], cells, spare=() if columns else _SPARE, numbers=numbers)
        else:
            say("No matching runs.")


def _has(row: Row, name: str) -> bool:
    return row.shown(name) not in (None, [], {})
