"""`mlxp ls`: a table of runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from mlxp_core.results.rows import Row

_COLUMNS = ("run", "status", "scheduler", "job", "started", "elapsed", "overrides", "metrics")
# What a narrow terminal goes without
_SPARE = ("scheduler", "started", "job", "elapsed")


@click.command()
@click.argument("directory", metavar="[DIR]", default="logs", type=click.Path(path_type=Path))
@click.option("--status", metavar="WORD,...", help="Only runs of these statuses: FAILED,TIMEOUT.")
@click.option(
    "--where",
    metavar="CONDITION",
    help="Only runs whose configuration fits: 'optimizer.lr>=0.01 and model.name==deep'. Operators: == != < <= > >=.",
)
@click.option("--sort", metavar="KEY", help="By a metric, a key of the configuration, or a column; -KEY downwards.")
@click.option("--columns", metavar="NAME,...", help="Columns, metrics and keys of the configuration to show.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
@click.option("--csv", "as_csv", is_flag=True, help="As CSV, for spreadsheets.")
def ls(
    directory: Path,
    status: str | None,
    where: str | None,
    sort: str | None,
    columns: str | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """List runs: what is true of each, its overrides and last metrics.

    DIR is the directory of numbered runs (default: logs), Hydra's multirun or a part of it, or one run.

    \b
    Examples: mlxp ls --status FAILED,TIMEOUT
              mlxp ls --where 'optimizer.lr>=0.01' --sort -test.accuracy
              mlxp ls --columns run,status,optimizer.lr,test.accuracy
    """
    import gc

    from mlxp_core.results.listing import choose, list_runs

    gc.disable()  # a short program makes no garbage to speak of, and looking for it takes a third of the time
    if as_json and as_csv:
        raise click.UsageError("--json and --csv cannot go together.")
    listing = list_runs(directory)
    rows = choose(listing.rows, status=status, where=where, sort=sort)
    names = [name.strip() for name in columns.split(",")] if columns else list(_COLUMNS)
    _print(rows, names, listing.shared, columns=columns, as_json=as_json, as_csv=as_csv)
    listing.cache.save()
    for note in listing.notes:
        click.echo(note, err=True)


def _print(
    rows: Sequence[Row], names: list[str], shared: Sequence[str], *, columns: str | None, as_json: bool, as_csv: bool
) -> None:
    from mlxp_core.cli.tables import print_table, text_of
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
            click.echo(f"All runs: {' '.join(shared)}")
        if rows:
            cells = [[text_of(name, row.shown(name), now) for name in names] for row in rows]
            print_table(names, cells, () if columns else _SPARE)
        else:
            click.echo("No run is like that.")


def _has(row: Row, name: str) -> Any:
    value = row.shown(name)
    return value not in (None, [], {})
