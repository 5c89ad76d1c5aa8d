"""The last metrics of thousands of runs, read by a second process while this one reads the runs themselves."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from mlxp_core.metrics.last_values import last_metrics
from mlxp_core.runs.file_cache import FileCache

# Fewer runs than this are read before a process has started
_MANY = 1_000


def read_ahead(runs: Sequence[str], cache: FileCache) -> Callable[[], dict[str, dict[str, Any]]]:
    """Start to read the last metrics of runs.

    Args:
        runs: their directories.
        cache: has those of files that did not change; nothing is read through it yet.

    Returns:
        what waits for them and returns them by run; those of few runs, or of all when it failed, are left out.
    """
    if len(runs) < _MANY or len(os.sched_getaffinity(0)) < 2:
        return dict
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            found = {run: last_metrics(run, cache) for run in runs}
            with open(writing, "w") as pipe:
                json.dump([found, cache.used], pipe)
        finally:  # also when nobody wants it any more
            os._exit(0)
    os.close(writing)

    def wait() -> dict[str, dict[str, Any]]:
        with open(reading, "rb") as pipe:
            text = pipe.read()
        os.waitpid(child, 0)
        try:
            found, used = json.loads(text)
        except ValueError:
            return {}
        cache.used.update(used)
        return dict(found)

    return wait
