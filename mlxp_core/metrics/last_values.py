"""The last metrics of a run, read from the last line of each file."""

from __future__ import annotations

import json
import os
from functools import partial
from stat import S_ISREG
from typing import Any

from mlxp_core.metrics.names import SUFFIX, prefix_of
from mlxp_core.runs.file_cache import FileCache

_BLOCK = 1024


def last_metrics(run: str, cache: FileCache) -> dict[str, Any]:
    """Return the last values that a run logged, by names such as `train.loss`.

    Args:
        run: Directory of the run.
        cache: Cache of the values in files that have not changed.
    """
    found: dict[str, Any] = {}
    directory = f"{run}/metrics/"
    for path, stat in _files(directory):
        prefix = prefix_of(path[len(directory) :])
        for key, value in cache.get(path, stat, partial(_last_record, path, stat.st_size)).items():
            found[prefix + key] = value
    return found


def _files(directory: str) -> list[tuple[str, os.stat_result]]:
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(SUFFIX):
                    if S_ISREG((stat := entry.stat()).st_mode):
                        found.append((entry.path, stat))
                elif not entry.name.startswith(".") and entry.is_dir():
                    found += _files(entry.path)
    except OSError:  # there are none, or this user may not read them
        pass
    return sorted(found)


def _last_record(path: str, size: int) -> dict[str, Any]:
    """Return the values in the last whole line of a file, however long it is."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return {}
    try:
        start, text = size, b""
        # The line after the last line break may be incomplete; the one before is whole
        while start > 0 and text.rstrip(b"\n").count(b"\n") < (1 if text.endswith(b"\n") else 2):
            length = min(start, max(_BLOCK, len(text)))
            start -= length
            text = os.pread(descriptor, length, start) + text
    except OSError:
        return {}
    finally:
        os.close(descriptor)
    for line in reversed(text.rsplit(b"\n", 3)[-3:]):
        if line:
            try:
                record = json.loads(line)
            except ValueError:
                continue
            if isinstance(record, dict):
                return {str(key): value for key, value in record.items() if isinstance(value, (int, float, str))}
    return {}
