"""Options, questions and texts that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core.paths import path_ranges, short_path

if TYPE_CHECKING:
    from mlxp_core.runs.reader import RunRecord
    from mlxp_core.status.rules import ResolvedStatus

directory_argument = click.argument("directory", metavar="[DIR]", default="logs", type=click.Path(path_type=Path))
in_directory = click.option(
    "-d",
    "--dir",
    "directory",
    metavar="DIR",
    default="logs",
    type=click.Path(path_type=Path),
    help="Directory of the numbered runs.  [default: logs]",
)
yes = click.option("-y", "--yes", is_flag=True, help="Do not ask for confirmation.")


def whole_list(context: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Check an option that takes a list: a space after a comma makes the rest of the list another argument.

    Raises:
        click.UsageError: The list ends with a comma.
    """
    if value is not None and value.rstrip().endswith(","):
        raise click.UsageError(
            f"{option.opts[0]} ends with a comma (got {value!r}). Write the list without spaces, such as a,b,c."
        )
    return value


def confirmed(question: str, *, yes: bool) -> bool:
    """Return whether the user confirms, or gave --yes.

    Raises:
        WrongUseError: There is no terminal on which to ask.
    """
    from mlxp_core.errors import NoAnswerError, WrongUseError
    from mlxp_core.prompts import choose, has_terminal

    if yes:
        return True
    if not has_terminal():
        raise WrongUseError(f"{question} There is no terminal to ask on: confirm with -y. Nothing was done.")
    try:
        return choose(f"{question} (y/n): ", "yn") == "y"
    except NoAnswerError:
        return False


def run_paths(runs: Sequence[RunRecord]) -> str:
    """Return the directories of runs in one line: `logs/5-16, logs/18`."""
    return path_ranges(short_path(run.directory.path) for run in runs)


def status_and_reason(resolved: ResolvedStatus) -> str:
    """Return a status with its reason, if it has one: `TIMEOUT (time limit reached)`."""
    return f"{resolved.status} ({resolved.reason})" if resolved.reason else resolved.status
