"""The syntax of sbatch: values quoted and converted so that it reads them unchanged."""

from __future__ import annotations

import re
from typing import Any

# Values that need no quotes in a directive
_PLAIN = re.compile(r"[\w./:=,@+~^%\[\]{}|&*!-]+", re.ASCII)


def directive(name: str, value: Any) -> str:
    """Return an option of sbatch; the value True means an option without a value."""
    if value is True:
        return f"--{name}"
    text = str(value)
    if _PLAIN.fullmatch(text):
        return f"--{name}={text}"
    # sbatch reads a quoted word as a shell does, but without expansions
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'--{name}="{escaped}"'


def memory(gigabytes: float | None) -> str | None:
    """Return a size in whole units, because sbatch rejects fractions, and never 0, which requests all memory."""
    if gigabytes is None:
        return None
    if gigabytes == int(gigabytes):
        return f"{int(gigabytes)}G"
    return f"{max(1, round(gigabytes * 1024))}M"


def file_pattern(path: str) -> str:
    """Return a path in which sbatch replaces nothing (`%j`); a backslash switches its replacements off."""
    return path.replace("\\", "\\\\") if "\\" in path else path.replace("%", "%%")
