"""What a line of metrics costs an application: `python benchmarks/metrics.py`.

Beside it stands, in the same run, writing the same line: json.dumps, and a flushed write to a file that is open; and
what Python's logging takes for a record that nobody writes.
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
    """The time of one call, in a loop of many."""
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS * 1e6


def measure(title: str, record: Record, earlier: str = "") -> None:
    """Print a row: for a record, in a file that an earlier attempt of the run left."""
    metrics, unheard = logging.getLogger("metrics.train"), logging.getLogger("unheard")
    unheard.setLevel(logging.INFO)
    unheard.propagate = False
    unheard.addHandler(logging.NullHandler())
    with tempfile.TemporaryDirectory() as folder, Path(folder, "raw").open("a") as raw:

        def write() -> None:
            raw.write(json.dumps(record) + "\n")
            raw.flush()

        if earlier:
            Path(folder, "train.json").write_text(earlier)
        start_metrics(Path(folder))
        calls = (lambda: metrics.info(record), write, lambda: unheard.info(record))
        rounds = [[microseconds(call) for call in calls] for _ in range(ROUNDS)]
        stop_metrics()
    # Of each the fastest tenth: what else runs on the machine disturbs the others
    logged, written, logging_alone = (quantiles(column, n=10)[0] for column in zip(*rounds, strict=True))
    figures = f"{logged:>11.1f}  {written:>12.1f}  {logged - written:>9.1f}  {logging_alone:>18.1f}"
    print(f"{title:22}  {figures}  {logged / written:.1f}")


def main() -> None:
    print(f"{'':22}  logged (us)  written (us)  more (us)  logging alone (us)  ratio")
    measure("2 values", {"loss": 0.31, "epoch": 0})
    measure("2 values, run again", {"loss": 0.31, "epoch": 0}, '{"loss": 0.31, "epoch": 0}\n' * 1_000)
    measure("20 values", {f"value_{i}": i / 7 for i in range(20)})


if __name__ == "__main__":
    main()
