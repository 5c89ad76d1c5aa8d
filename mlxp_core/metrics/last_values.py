"""The last metrics of a run, read from the last line of each file."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from functools import partial
from stat import S_ISREG
from typing import Any

from mlxp_core.metrics.names import SUFFIX, prefix_of
from mlxp_core.runs.file_cache import FileCache

_BLOCK = 1024
# Keys of a record that say how far the training is
COUNTERS = ("epoch", "step")


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


def counter_of(metric: str) -> str:
    """Return `epoch` or `step` for a metric such as `train.epoch`; an empty string for others."""
    key = metric.rpartition(".")[2]
    return key if key in COUNTERS else ""


def last_counters(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return the last epoch and the last step among the metrics of a run, whatever files they are in."""
    found: dict[str, Any] = {}
    for name, value in metrics.items():
        counter = counter_of(name)
        if counter and isinstance(value, (int, float)):
            found[counter] = max(found.get(counter, value), value)
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
