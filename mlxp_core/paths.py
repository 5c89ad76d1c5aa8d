"""How messages show paths."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path


def short_path(path: Path, base: Path | None = None) -> str:
    """Return a path relative to a directory if it is below it, and unchanged otherwise.

    Args:
        path: Absolute path.
        base: Absolute directory; the current one by default.
    """
    base = base or Path.cwd()
    return str(path.relative_to(base) if path.is_relative_to(base) else path)


def path_ranges(paths: Iterable[str]) -> str:
    """List paths, with consecutive numbers in one directory as a range: `logs/5-16, logs/18`."""
    ranges: list[list[str]] = []
    last_parent, last_number = "", -1
    for path in paths:
        parent, _, name = path.rpartition("/")
        number = int(name) if name.isdecimal() else -1
        if ranges and parent == last_parent and number == last_number + 1 > 0:
            ranges[-1].append(path)
        else:
            ranges.append([path])
        last_parent, last_number = parent, number
    return ", ".join(span[0] if len(span) == 1 else f"{span[0]}-{span[-1].rpartition('/')[2]}" for span in ranges)
