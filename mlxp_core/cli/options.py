"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from mlxp_core.runs.reader import RunRecord

in_directory = click.option(
    "-d",
    "--dir",
    "directory",
    metavar="DIR",
    default="logs",
    type=click.Path(path_type=Path),
    help="The directory of the runs that have these numbers. Default: logs.",
)
yes = click.option("-y", "--yes", is_flag=True, help="Do not ask.")


def confirmed(question: str, *, yes: bool) -> bool:
    """Whether the user wants it.

    Raises:
        WrongUseError: nobody can be asked.
    """
    from mlxp_core.errors import NoAnswerError, WrongUseError
    from mlxp_core.prompts import choose, has_terminal

    if yes:
        return True
    if not has_terminal():
        raise WrongUseError(f"{question} There is no terminal to answer on: give -y. Nothing was done.")
    try:
        return choose(f"{question} (y/n): ", "yn") == "y"
    except NoAnswerError:
        return False


def names(runs: Sequence[RunRecord]) -> str:
    """The directories of runs in few words: `logs/5-16, logs/18`."""
    from mlxp_core.paths import path_ranges, short_path

    return path_ranges([run.directory.path for run in runs], lambda path: short_path(path, Path.cwd()))
