"""What the user sees of a launch: plain lines, and a progress bar where there is a terminal."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    import rich.progress


# Runs that are prepared within two seconds
SILENT = 1_000
# Runs that are named one by one
NAMED = 20
# What was said of slow things
_TOLD: set[str] = set()


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line now, on stdout or another stream. A launch goes on where nobody reads it, or letters are lacking."""
    try:
        try:
            print(text, file=stream, flush=True)
        except UnicodeEncodeError:
            print(text.encode("ascii", "backslashreplace").decode(), file=stream, flush=True)
    except BrokenPipeError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # for the rest of the program


@contextmanager
def notify_if_slow(text: str) -> Iterator[None]:
    """Say on stderr what is waited for, when that takes more than two seconds; the same text once in a process."""

    def tell() -> None:
        if text not in _TOLD:
            _TOLD.add(text)
            say(text, sys.stderr)

    timer = threading.Timer(2, tell)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def plural(things: Sized, noun: str) -> str:
    """The noun, in the plural where there is not one thing."""
    return noun if len(things) == 1 else f"{noun}s"


def count(things: Sized, noun: str) -> str:
    """How many things: `1 run`, `3 runs`."""
    return f"{len(things)} {plural(things, noun)}"


class Progress:
    """How far a known number of runs is, in plain lines."""

    def __init__(self, title: str, total: int) -> None:
        self.total = total
        self.done = 0
        say(title)

    def ended(self, line: str, *, succeeded: bool) -> None:
        """Report a run that ended."""
        self.done += 1
        say(f"  {self.done}/{self.total}  {'COMPLETE' if succeeded else 'FAILED  '}  {line}")

    def note(self, text: str) -> None:
        """Report what the others do; seen on a terminal alone."""

    def say(self, text: str) -> None:
        """Print a line between the reports."""
        say(text)


class _Bar(Progress):
    """The same on a terminal."""

    def __init__(self, title: str, total: int, bar: rich.progress.Progress) -> None:
        self.bar = bar
        self.task = bar.add_task(title, total=total, note="")

    def ended(self, line: str, *, succeeded: bool) -> None:
        from rich.text import Text

        status = Text("COMPLETE", "green") if succeeded else Text("FAILED  ", "red")
        self.bar.console.print(Text.assemble("  ", status, "  ", line))
        self.bar.advance(self.task)

    def note(self, text: str) -> None:
        self.bar.update(self.task, note=text)

    def say(self, text: str) -> None:
        self.bar.console.print(text, markup=False)


@contextmanager
def progress(title: str, total: int) -> Iterator[Progress]:
    """Show how far a known number of runs is: by a bar on a terminal, by lines elsewhere."""
    if not sys.stdout.isatty():
        yield Progress(title, total)
        return

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as RichProgress

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with RichProgress(*columns, console=Console(highlight=False)) as bar:
        yield _Bar(title, total, bar)
