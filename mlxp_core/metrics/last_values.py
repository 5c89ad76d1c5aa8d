"""The last metrics of a run: of each file in its `metrics` the last line, whatever its length."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import Any

from mlxp_core.runs.file_cache import FileCache

_BLOCK = 1024


def last_metrics(run: str, cache: FileCache) -> dict[str, Any]:
    """The last values that a run logged, by names such as `train.loss`.

    Args:
        run: its directory.
        cache: has those of files that did not change.
    """
    found: dict[str, Any] = {}
    for path, stat in _files(f"{run}/metrics"):
        name = path[len(run) + len("/metrics/") : -len(".json")].replace("/", ".")
        for key, value in cache.get(path, stat, partial(_last_record, path, stat.st_size)).items():
            found[f"{name}.{key}"] = value
    return found


def _files(directory: str) -> list[tuple[str, os.stat_result]]:
    found = []
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.endswith(".json"):
                    found.append((entry.path, entry.stat()))
                elif not entry.name.startswith(".") and entry.is_dir():
                    found += _files(entry.path)
    except OSError:  # it keeps none, or they are not for us to see
        pass
    return sorted(found)


def _last_record(path: str, size: int) -> dict[str, Any]:
    """The values in the last whole line of a file."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return {}
    try:
        start, text = size, b""
        # Behind the last line break a line may be half-written; the one before is whole
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
