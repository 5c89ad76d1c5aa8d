"""Paths of runs in messages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path


def short_path(path: Path, started_in: Path) -> str:
    """Return a path relative to the directory in which the user started the program, if it is below that directory."""
    return str(path.relative_to(started_in) if path.is_relative_to(started_in) else path)


def path_ranges(paths: Sequence[Path], shown: Callable[[Path], str]) -> str:
    """Return paths in one line, consecutive numbers as a range: `logs/5-16, logs/18`.

    Args:
        paths: Directories, in the order in which to show them.
        shown: Function that returns one path as text.
    """
    spans: list[list[Path]] = []
    for path in paths:
        if spans and path.name.isdecimal():
            last = spans[-1][-1]
            if path.parent == last.parent and last.name.isdecimal() and int(path.name) == int(last.name) + 1:
                spans[-1].append(path)
                continue
        spans.append([path])
    return ", ".join(shown(span[0]) if len(span) == 1 else f"{shown(span[0])}-{span[-1].name}" for span in spans)
