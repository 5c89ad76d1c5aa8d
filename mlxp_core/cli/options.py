"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path

import click

in_directory = click.option(
    "-d",
    "--dir",
    "directory",
    metavar="DIR",
    default="logs",
    type=click.Path(path_type=Path),
    help="The directory of the runs that have these numbers. Default: logs.",
)
