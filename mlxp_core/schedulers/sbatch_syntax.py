"""How values are written so that sbatch reads them back as they are."""

from __future__ import annotations

import re
from typing import Any

# What needs no quotes in a directive
_PLAIN = re.compile(r"[\w./:=,@+~^%\[\]{}|&*!-]+", re.ASCII)


def directive(name: str, value: Any) -> str:
    """An option of sbatch; True is one without a value."""
    if value is True:
        return f"--{name}"
    text = str(value)
    if _PLAIN.fullmatch(text):
        return f"--{name}={text}"
    # sbatch reads a quoted word as a shell would, but expands nothing in it
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'--{name}="{escaped}"'


def memory(gigabytes: float | None) -> str | None:
    """In whole units, because sbatch takes no fractions; and never 0, which would ask for all the memory."""
    if gigabytes is None:
        return None
    if gigabytes == int(gigabytes):
        return f"{int(gigabytes)}G"
    return f"{max(1, round(gigabytes * 1024))}M"


def file_pattern(path: str) -> str:
    """A path with nothing in it that sbatch would replace (`%j`); a backslash switches the replacing off."""
    return path.replace("\\", "\\\\") if "\\" in path else path.replace("%", "%%")
