"""Output for the user: plain lines, and a progress bar on a terminal."""

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
# Messages that notify_if_slow has printed
_notified: set[str] = set()


def say(text: str, stream: TextIO | None = None) -> bool:
    """Print a line to stdout or another stream, and flush it.

    The program continues if the other end of a pipe is closed, and characters that the stream cannot encode are
    escaped.

    Returns:
        Whether the line was written. After a closed pipe, everything else for that stream is dropped.
    """
    stream = sys.stdout if stream is None else stream
    try:
        try:
            print(text, file=stream, flush=True)
        except UnicodeEncodeError:
            print(text.encode("ascii", "backslashreplace").decode(), file=stream, flush=True)
    except BrokenPipeError:
        silent = Path(os.devnull).open("w")  # noqa: SIM115  # for the rest of the program
        if stream is sys.stderr:
            sys.stderr = silent
        else:
            sys.stdout = silent
        return False
    return True


@contextmanager
def notify_if_slow(text: str) -> Iterator[None]:
    """Print what the program waits for to stderr after two seconds; the same text only once in a process."""

    def notify() -> None:
        if text not in _notified:
            _notified.add(text)
            say(text, sys.stderr)

    timer = threading.Timer(2, notify)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def plural(things: Sized, noun: str) -> str:
    """Return the noun, in the plural unless there is exactly one thing."""
    return noun if len(things) == 1 else f"{noun}s"


def count(things: Sized, noun: str) -> str:
    """Return the number of things with their noun: `1 run`, `3 runs`."""
    return f"{len(things)} {plural(things, noun)}"


class Progress:
    """Progress of a known number of runs, in plain lines."""

    def __init__(self, title: str, total: int) -> None:
        self.total = total
        self.done = 0
        say(title)

    def ended(self, line: str, *, succeeded: bool) -> None:
        """Report a run that ended."""
        self.done += 1
        say(f"  {self.done}/{self.total}  {'COMPLETE' if succeeded else 'FAILED  '}  {line}")

    def note(self, text: str) -> None:
        """Show what the other runs do, on a terminal only."""

    def say(self, text: str) -> None:
        """Print a line between the reports."""
        say(text)


class _Bar(Progress):
    """Progress as a bar on a terminal, with a line for each run that ended."""

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
    """Show the progress of a known number of runs: a bar on a terminal, lines otherwise."""
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
