"""`mlxp log`: prints the output of a run."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mlxp_core.cli.options import in_directory, status_and_reason
from mlxp_core.console import LogText, say

if TYPE_CHECKING:
    from mlxp_core.runs.reader import RunRecord

_READ_INTERVAL_S = 0.5


@click.command()
@click.argument("run", metavar="RUN")
@click.option(
    "-f",
    "--follow",
    is_flag=True,
    help="Keep printing until the run has finished; exit status 1 if it did not complete.",
)
@click.option("--err", is_flag=True, help="Print its stderr instead of its stdout.")
@click.option("--interval", default=10.0, metavar="SECONDS", help="Time between scheduler queries.  [default: 10]")
@in_directory
def log(run: str, follow: bool, err: bool, interval: float, directory: Path) -> None:
    """Print the output of a run (stdout or stderr).

    RUN is a number or the path of a run's directory. On a terminal, colors and other escape sequences are left out; in
    a pipe the output is unchanged: mlxp log 12 | less -R

    \b
    Examples:
      mlxp log 12
      mlxp log 12 -f
      mlxp log 12 --err
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
        say(_why_missing(found, file), sys.stderr)
        sys.exit(1)
    write = _writer()
    with file.open("rb") as stream:
        while block := stream.read(1 << 16):
            write(block)


def _writer() -> Callable[[bytes], object]:
    """Return the function that writes blocks of a log to stdout, unchanged unless that is a terminal."""
    if not sys.stdout.isatty():
        return sys.stdout.buffer.write
    text = LogText()
    encoding = sys.stdout.encoding
    return lambda block: sys.stdout.buffer.write(text.add(block).encode(encoding, "backslashreplace"))


def _why_missing(run: RunRecord, file: Path) -> str:
    from mlxp_core.status.resolver import StatusResolver

    (resolved,) = StatusResolver().resolve([run])
    others = sorted(path.name for path in run.directory.path.glob("*.log"))
    hint = f" Its application wrote {', '.join(others)}." if others else ""
    return f"There is no {file}: the run is {status_and_reason(resolved)}.{hint}"


def _follow(run: RunRecord, file: Path, interval: float) -> int:
    """Print new output until the run has finished; return the exit status."""
    from mlxp_core.runs.reader import RunReader
    from mlxp_core.status.resolver import StatusResolver

    reader, states = RunReader(run.directory.path.parent), StatusResolver()
    write = _writer()
    place, record, asked_at = 0, None, float("-inf")
    printed_notes: list[str] = []
    while True:
        (run,) = reader.read_some([run.directory.path])
        if time.monotonic() - asked_at >= interval or run.info != record:
            # The record changes when the run starts and ends; the scheduler reports what the record cannot
            (resolved,) = states.resolve([run])
            record, asked_at = run.info, time.monotonic()
            for note in states.notes:
                if note not in printed_notes:
                    printed_notes.append(note)
                    say(note, sys.stderr)
        try:
            with file.open("rb") as stream:
                if stream.seek(0, 2) < place:  # the file was truncated
                    place = 0
                stream.seek(place)
                while block := stream.read(1 << 16):
                    place += len(block)
                    write(block)
                sys.stdout.flush()
        except FileNotFoundError:
            pass
        if resolved.is_finished:
            say(f"{run.name} is {resolved.status}{f': {resolved.reason}' if resolved.reason else ''}", sys.stderr)
            return int(resolved.has_failed)
        time.sleep(_READ_INTERVAL_S)
