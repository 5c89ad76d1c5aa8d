"""`mlxp log`: what a run printed."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core.cli.options import in_directory

if TYPE_CHECKING:
    from mlxp_core.runs.reader import RunRecord

_LOOK_S = 0.5


@click.command()
@click.argument("run", metavar="RUN")
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over; exit status 1 if it did not complete.")
@click.option("--err", is_flag=True, help="What it wrote to stderr.")
@click.option("--interval", default=10.0, metavar="SECONDS", help="How often the scheduler is asked. Default: 10.")
@in_directory
def log(run: str, follow: bool, err: bool, interval: float, directory: Path) -> None:
    """Print what a run wrote to stdout, or to stderr.

    RUN is a number or the path of a run's directory.

    Example: mlxp log 12 -f
    """
    from mlxp_core.actions.selection import select_one

    found = select_one(run, directory)
    file = found.directory.stderr if err else found.directory.stdout
    if follow:
        try:
            sys.exit(_follow(found, file, interval))
        except KeyboardInterrupt:
            sys.exit(130)
    if not file.exists():
        click.echo(_why_not(found, file), err=True)
        sys.exit(1)
    with file.open("rb") as stream:
        while block := stream.read(1 << 16):
            sys.stdout.buffer.write(block)


def _why_not(run: RunRecord, file: Path) -> str:
    from mlxp_core.status.resolver import StatusResolver

    (resolved,) = StatusResolver().resolve([run])
    others = sorted(path.name for path in run.directory.path.glob("*.log"))
    hint = f" Its application wrote {', '.join(others)}." if others else ""
    return (
        f"There is no {file}: the run is {resolved.status}{f' ({resolved.reason})' if resolved.reason else ''}.{hint}"
    )


def _follow(run: RunRecord, file: Path, interval: float) -> int:
    """Print what comes until the run is over; return the exit status."""
    from mlxp_core.runs.reader import RunReader
    from mlxp_core.status.resolver import StatusResolver

    reader, states = RunReader(run.directory.path.parent), StatusResolver()
    stdout = sys.stdout.buffer
    place, record, asked_at = 0, None, float("-inf")
    told: list[str] = []
    while True:
        (run,) = reader.read_some([run.directory.path])
        if time.monotonic() - asked_at >= interval or run.info != record:
            # Its record changes when it starts and ends; the scheduler tells of what its record cannot
            (resolved,) = states.resolve([run])
            record, asked_at = run.info, time.monotonic()
            for note in states.notes:
                if note not in told:
                    told.append(note)
                    click.echo(note, err=True)
        try:
            with file.open("rb") as stream:
                if stream.seek(0, 2) < place:  # it was written anew
                    place = 0
                stream.seek(place)
                while block := stream.read(1 << 16):
                    place += len(block)
                    stdout.write(block)
                stdout.flush()
        except FileNotFoundError:
            pass
        if resolved.is_finished:
            click.echo(f"{run.name} is {resolved.status}{f': {resolved.reason}' if resolved.reason else ''}", err=True)
            return int(resolved.has_failed)
        time.sleep(_LOOK_S)
