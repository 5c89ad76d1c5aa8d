"""Output for the user: plain lines, and a progress bar on a terminal; no text of a run controls the terminal."""

from __future__ import annotations

import codecs
import os
import re
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
# Characters that control a terminal (C0 and C1, ECMA-48), or the direction of a line
_CONTROL = r"\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_CONTROLS = re.compile(f"[{_CONTROL}]")
_CONTROLS_AND_BREAKS = re.compile(f"[{_CONTROL}\t\n\u2028\u2029]")
# Colors, movements of the cursor and the like, which programs write for their own terminal
_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_BEGINNING = re.compile(r"\x1b(\[[0-?]{0,32}[ -/]{0,8})?$")
# Messages that notify_if_slow has printed
_notified: set[str] = set()


def escaped(text: str, *, one_line: bool = False) -> str:
    """Escape characters that control a terminal, as Python does: `\\x1b`.

    Args:
        text: Text that may come from a run: overrides, records, metrics, logs.
        one_line: Whether to escape line breaks and tabs, too.
    """
    pattern = _CONTROLS_AND_BREAKS if one_line else _CONTROLS
    return pattern.sub(lambda found: ascii(found[0])[1:-1], text)


def without_sequences(text: str) -> str:
    """Remove complete escape sequences such as colors."""
    return _SEQUENCE.sub("", text)


class LogText:
    """A log as text for a terminal, block by block: without escape sequences, but with progress bars."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._rest = ""

    def add(self, block: bytes) -> str:
        """Return the text of the next block; an escape sequence that it only begins waits for the block after it."""
        text = self._rest + self._decoder.decode(block)
        beginning = _BEGINNING.search(text)
        self._rest = beginning[0] if beginning else ""
        text = without_sequences(text.removesuffix(self._rest))
        return _CONTROLS.sub(lambda found: found[0] if found[0] in "\r\b" else escaped(found[0]), text)


def say(text: str, stream: TextIO | None = None, *, styled: bool = False) -> bool:
    """Print a line to stdout or another stream, and flush it.

    The program continues if the other end of a pipe is closed, and characters that the stream cannot encode are
    escaped, as are those that control a terminal.

    Args:
        text: The line, or several.
        stream: Where to print it; None for stdout.
        styled: Whether the text has colors; then the caller has escaped the rest.

    Returns:
        Whether the line was written. After a closed pipe, everything else for that stream is dropped.
    """
    stream = sys.stdout if stream is None else stream
    text = text if styled else escaped(text)
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


class _Bar(Progress):
    """Progress as a bar on a terminal, with a line for each run that ended."""

    def __init__(self, title: str, total: int, bar: rich.progress.Progress) -> None:
        self.bar = bar
        self.task = bar.add_task(title, total=total, note="")

    def ended(self, line: str, *, succeeded: bool) -> None:
        from rich.text import Text

        status = Text("COMPLETE", "green") if succeeded else Text("FAILED  ", "red")
        self.bar.console.print(Text.assemble("  ", status, "  ", escaped(line)))
        self.bar.advance(self.task)

    def note(self, text: str) -> None:
        self.bar.update(self.task, note=text)


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
