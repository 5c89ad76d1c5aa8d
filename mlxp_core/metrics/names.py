"""Names of metrics: records logged to `metrics.eval.test` go to eval/test.json and are listed as `eval.test.<key>`."""

from __future__ import annotations

import re

# Loggers below this one log metrics
LOGGER = "metrics"
SUFFIX = ".json"


def file_of(logger: str) -> str:
    """Return the file for a logger's records, relative to the run's directory of metrics."""
    # Dots and slashes separate, and empty parts are left out, so that no name leads out of the directory
    parts = [part for part in re.split(r"[./]", logger)[1:] if part] or [LOGGER]
    return "/".join(parts) + SUFFIX


def prefix_of(file: str) -> str:
    """Return what the names of a file's metrics begin with: `eval.test.` for eval/test.json."""
    return file.removesuffix(SUFFIX).replace("/", ".") + "."
