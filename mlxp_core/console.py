"""What the user sees of a launch: plain lines, and a progress bar where there is a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line now, on stdout or another stream. A launch goes on where nobody reads it, or letters are lacking."""
    try:
        try:
            print(text, file=stream, flush=True)
        except UnicodeEncodeError:
            print(text.encode("ascii", "backslashreplace").decode(), file=stream, flush=True)
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # for the rest of the program


def plural(things: Sized, noun: str) -> str:
    """The noun, in the plural where there is not one thing."""
    return noun if len(things) == 1 else f"{noun}s"


def count(things: Sized, noun: str) -> str:
    """How many things: `1 run`, `3 runs`."""
    return f"{len(things)} {plural(things, noun)}"


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[str, bool], None]]:
    """Show how far a known number of runs is.

    Yields a function that reports one that ended: its line, and whether it succeeded. Without a terminal there are
    these lines alone.
    """
    if not sys.stdout.isatty():
        say(title)
        done = 0

        def plain(line: str, succeeded: bool) -> None:
            nonlocal done
            done += 1
            say(f"  {done}/{total}  {'COMPLETE' if succeeded else 'FAILED  '}  {line}")

        yield plain
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.text import Text

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(highlight=False)) as bar:
        task = bar.add_task(title, total=total)

        def report(line: str, succeeded: bool) -> None:
            status = Text("COMPLETE", "green") if succeeded else Text("FAILED  ", "red")
            bar.console.print(Text.assemble("  ", status, "  ", line))
            bar.advance(task)

        yield report
