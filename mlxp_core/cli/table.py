"""`mlxp table`: prints the mean and the spread of metrics over runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core.cli.options import directory_argument, whole_list
from mlxp_core.console import say

if TYPE_CHECKING:
    from mlxp_core.results.aggregate import Aggregate
    from mlxp_core.results.collection import Runs
    from mlxp_core.results.summary import Measure

_FORMATS = ("text", "latex", "markdown", "csv", "json", "html")


@click.command()
@directory_argument
@click.option(
    "--of",
    "metrics",
    metavar="METRIC",
    multiple=True,
    help="Metric to show, such as test.accuracy; repeat it for several.",
)
@click.option(
    "--over",
    metavar="KEY,...",
    callback=whole_list,
    help="Average over these keys, such as seed. The groups differ by all other keys that vary.",
)
@click.option("--by", metavar="KEY,...", callback=whole_list, help="Group by these keys, and average over all others.")
@click.option(
    "--best",
    "picks",
    metavar="max|min|last",
    multiple=True,
    help="Which of the values that a run logged counts: the highest, the lowest, or the last one. Once for all "
    "metrics, or once for each --of.  [default: last]",
)
@click.option("--at", metavar="epoch=N", help="The value of this epoch (or step=N) counts, instead of --best.")
@click.option("--pivot", metavar="KEY", help="Show the values of this key as columns.")
@click.option(
    "--spread",
    type=click.Choice(["std", "sem", "ci"]),
    default="std",
    help="Standard deviation, standard error of the mean, or its 95 % interval by bootstrap.  [default: std]",
)
@click.option(
    "--mark",
    type=click.Choice(["max", "min"]),
    help="Mark the highest or lowest mean of metrics with --best last or --at.",
)
@click.option("--where", metavar="CONDITION", help="Only runs whose configuration or metrics match, as in mlxp ls.")
@click.option(
    "--reruns",
    type=click.Choice(["latest", "all"]),
    default="latest",
    help="Among COMPLETE runs of the same configuration, count the last one or all.  [default: latest]",
)
@click.option("--incomplete", is_flag=True, help="Also count runs that are not COMPLETE, with what they have logged.")
@click.option("--format", "form", type=click.Choice(_FORMATS), default="text", help="Format.  [default: text]")
def table(
    directory: Path,
    metrics: tuple[str, ...],
    over: str | None,
    by: str | None,
    picks: tuple[str, ...],
    at: str | None,
    pivot: str | None,
    spread: str,
    mark: str | None,
    where: str | None,
    reruns: str,
    incomplete: bool,
    form: str,
) -> None:
    """Print mean and spread of metrics over runs, such as over seeds.

    Each cell is a group of runs: mean ± standard deviation over the runs that are COMPLETE. The best one is marked.
    Runs that do not count, and seeds that are missing, are named below the table. CSV and JSON have a row for each
    group.

    \b
    Examples:
      mlxp table --over seed --of test.accuracy --best max
      mlxp table --by optimizer.lr --of test.accuracy --at epoch=10
      mlxp table --over seed --of test.accuracy --best max --pivot model
      mlxp table --over seed --of train.loss --best min --format latex
    """
    import gc

    from mlxp_core.actions.selection import check_directory
    from mlxp_core.errors import SelectionError
    from mlxp_core.results.collection import read_runs

    gc.disable()  # as in ls
    check_directory(directory)
    runs = read_runs(directory)
    chosen = _filtered(runs, where)
    if not chosen:
        say("No matching runs.")
        return
    measures = _measures(chosen, metrics, picks, at)
    groups = chosen.groups(over=_keys(over) or (), by=_keys(by), prefix="--")
    if pivot is not None and pivot not in groups.keys:
        names = f"one of {', '.join(groups.keys)}" if groups.keys else "a key by which the groups differ; there is none"
        raise SelectionError(f"--pivot must be {names}, got {pivot!r}.")
    aggregate = groups.aggregate(measures, reruns=reruns, incomplete=incomplete)
    groups.values.cache.save()
    _print(aggregate, form, spread=spread, pivot=pivot, mark=mark)
    for note in chosen.notes:
        say(note, sys.stderr)


def _keys(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(key.strip() for key in text.split(",") if key.strip())


def _filtered(runs: Runs, where: str | None) -> Runs:
    from mlxp_core.errors import ConditionError, SelectionError

    if where is None:
        return runs
    try:
        return runs.filter(where=where)
    except (ConditionError, SelectionError) as error:
        raise type(error)(f"--{error}") from error


def _measures(runs: Runs, metrics: tuple[str, ...], picks: tuple[str, ...], at: str | None) -> list[Measure]:
    from mlxp_core.errors import SelectionError
    from mlxp_core.results.summary import Measure, check_pick
    from mlxp_core.results.values import metric_names

    if not metrics:
        names = metric_names(runs)
        raise SelectionError(
            f"Name a metric with --of: {', '.join(names)}."
            if names
            else "The runs have no metrics yet (see 'Metrics' in the documentation)."
        )
    if at is not None and picks:
        raise click.UsageError("--at and --best cannot be combined.")
    if len(picks) not in (0, 1, len(metrics)):
        raise click.UsageError(f"--best must be given once, or once for each --of ({len(metrics)}), got {len(picks)}.")
    chosen = [check_pick(at, "--at")] if at is not None else [check_pick(one, "--best") for one in picks or ("last",)]
    return [Measure(*pair) for pair in zip(metrics, chosen * len(metrics) if len(chosen) == 1 else chosen, strict=True)]


def _print(aggregate: Aggregate, form: str, *, spread: str, pivot: str | None, mark: str | None) -> None:
    from mlxp_core.cli.tables import print_table
    from mlxp_core.results import table_formats

    grid = aggregate.grid(spread=spread, pivot=pivot, mark=mark)
    notes = [*([f"Best: {aggregate.best}."] if aggregate.best else []), *aggregate.notes]
    if form == "text":
        print_table(grid.header, table_formats.text_cells(grid), hint="Use a wider terminal, or --format markdown.")
        say("\n".join(["", grid.caption, *notes]))
        return
    writers = {
        "latex": lambda: table_formats.to_latex(grid),
        "markdown": lambda: table_formats.to_markdown(grid),
        "html": lambda: table_formats.to_html(grid, notes).rstrip(),
        "csv": lambda: table_formats.to_csv(aggregate.columns(spread)),
        "json": lambda: table_formats.to_json(aggregate.columns(spread), aggregate.runs),
    }
    say(writers[form]())
    if form != "html":
        say("\n".join([grid.caption, *notes]), sys.stderr)
