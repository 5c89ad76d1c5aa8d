"""The cost of logging a line of metrics: `python benchmarks/metrics.py`.

It is compared, in the same rounds, with writing the same line by json.dumps and a flushed write to an open file, and
with Python's logging of a record that no handler writes.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import quantiles

from mlxp_core.metrics.handler import start_metrics, stop_metrics

ROUNDS, CALLS = 300, 100
Record = dict[str, float]


def microseconds(call: Callable[[], object]) -> float:
    """Return the time of one call, in a loop of many."""
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS * 1e6


def measure(title: str, record: Record, earlier: str = "") -> None:
    """Print the figures for a record, logged to a file that an earlier attempt of the run left."""
    metrics, discarded = logging.getLogger("metrics.train"), logging.getLogger("discarded")
    discarded.setLevel(logging.INFO)
    discarded.propagate = False
    discarded.addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as folder, Path(folder, "raw").open("a") as raw:

        def write() -> None:
            raw.write(json.dumps(record) + "\n")
            raw.flush()

        if earlier:
            Path(folder, "train.json").write_text(earlier)
        start_metrics(Path(folder))
        calls = (lambda: metrics.info(record), write, lambda: discarded.info(record))
        rounds = [[microseconds(call) for call in calls] for _ in range(ROUNDS)]
        stop_metrics()
    # The fastest tenth of each: other programs on the machine disturb the rest
    logged, written, logging_only = (quantiles(column, n=10)[0] for column in zip(*rounds, strict=True))
    figures = f"{logged:>11.1f}  {written:>12.1f}  {logged - written:>9.1f}  {logging_only:>17.1f}"
    print(f"{title:22}  {figures}  {logged / written:.1f}")


def main() -> None:
    print(f"{'':22}  logged (us)  written (us)  more (us)  logging only (us)  ratio")
    measure("2 values", {"loss": 0.31, "epoch": 0})
    measure("2 values, restarted", {"loss": 0.31, "epoch": 0}, '{"loss": 0.31, "epoch": 0}\n' * 1_000)
    measure("20 values", {f"value_{i}": i / 7 for i in range(20)})


if __name__ == "__main__":
    main()
