"""All records in the metrics files of a run, as opposed to the last values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlxp_core.files import read_regular
from mlxp_core.metrics.names import SUFFIX, file_of, prefix_of

# Keys of a record that say when it was logged; they are not metrics
TIMES = ("epoch", "step")


def read_records(run: str, log: str) -> list[dict[str, Any]]:
    """Return what a run logged to `metrics.<log>`, in its order; lines that are not whole records are left out.

    Args:
        run: Directory of the run.
        log: Name such as `train` or `eval.test`.
    """
    try:
        return _parse(read_regular(f"{run}/metrics/{file_of(f'metrics.{log}')}"))
    except OSError:  # there is none, or this user may not read it
        return []


def log_names(run: str) -> list[str]:
    """Return the names under which a run logged metrics, such as `train` and `eval.test`."""
    root = Path(run, "metrics")
    try:
        files = sorted(file.relative_to(root) for file in root.rglob(f"*{SUFFIX}"))
    except OSError:
        return []
    return [prefix_of(str(file)).removesuffix(".") for file in files if not any(part[0] == "." for part in file.parts)]


def splits(metric: str) -> Iterator[tuple[str, str]]:
    """Yield the names of a log and of its key that a metric may stand for: `a.b`, `c` and `a`, `b.c` for `a.b.c`."""
    parts = metric.split(".")
    for end in range(len(parts) - 1, 0, -1):
        yield ".".join(parts[:end]), ".".join(parts[end:])


def number(value: Any) -> float | None:
    """Return a logged value as a number; None if it is not one."""
    if not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of hundreds of digits
        return float("inf") if value > 0 else float("-inf")


def extremes(records: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, list[Any]]]:
    """Return the highest, the lowest and the last number of each key, each with its epoch and its step.

    Among equal ones the first counts. NaN is neither the highest nor the lowest, unless there is nothing else.
    """
    found: dict[str, dict[str, list[Any]]] = {}
    for record in records:
        time = [record.get(name) for name in TIMES]
        for key, logged in record.items():
            if key in TIMES or (value := number(logged)) is None:
                continue
            entry = [value, *time]
            known = found.get(key)
            if known is None:
                found[key] = {"max": entry, "min": entry, "last": entry}
                continue
            known["last"] = entry
            if value > known["max"][0] or known["max"][0] != known["max"][0]:
                known["max"] = entry
            if value < known["min"][0] or known["min"][0] != known["min"][0]:
                known["min"] = entry
    return found


def _parse(data: bytes) -> list[dict[str, Any]]:
    """Parse all lines at once, which is the fastest; line by line if one is damaged."""
    lines = [line for line in data.split(b"\n") if line.strip()]
    records: list[Any] = []
    for loads in dict.fromkeys((_fastest(), json.loads)):  # NaN and infinity are not JSON for the fastest one
        try:
            records = loads(b"[" + b",".join(lines) + b"]")
            break
        except ValueError:
            continue
    if len(records) != len(lines):
        records = [_parse_line(line) for line in lines]
    return [record for record in records if isinstance(record, dict)]


def _parse_line(line: bytes) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


@lru_cache(maxsize=1)
def _fastest() -> Callable[[bytes], Any]:
    try:
        import orjson
    except ImportError:
        return json.loads
    return orjson.loads
