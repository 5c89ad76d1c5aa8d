"""What a line of metrics costs an application: `python benchmarks/metrics.py`.

Beside it stands the floor in the same run: json.dumps of the same dict, and a flushed write to a file that is open.
"""

from __future__ import annotations

import json
import logging
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from mlxp_core.metrics import start_metrics, stop_metrics

ROUNDS, CALLS = 50, 1_000
# A line of the example, and one with twenty values
RECORDS = {"2 values": {"loss": 0.31, "epoch": 0}, "20 values": {f"value_{i}": i / 7 for i in range(20)}}


def microseconds(call: Callable[[], object]) -> float:
    """The time of one call, in a loop of many."""
    start = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - start) / CALLS * 1e6


def main() -> None:
    logger = logging.getLogger("metrics.train")
    print(f"{'':22}  {'logged (us)':>11}  {'written (us)':>12}  {'more (us)':>9}  ratio")
    for name, record in RECORDS.items():
        for again in (False, True):
            with tempfile.TemporaryDirectory() as folder, Path(folder, "raw.json").open("a") as raw:

                def write(record: dict[str, float] = record) -> None:
                    raw.write(json.dumps(record) + "\n")  # called in this round alone
                    raw.flush()

                if again:
                    Path(folder, "train.json").write_text('{"loss": 1, "epoch": 0}\n' * CALLS)
                start_metrics(Path(folder))
                times = [(microseconds(lambda: logger.info(record)), microseconds(write)) for _ in range(ROUNDS)]  # noqa: B023
                stop_metrics()
            ours, floor = (median(column) for column in zip(*times, strict=True))
            more = median(ours - floor for ours, floor in times)
            title = f"{name}{', run again' if again else ''}"
            print(f"{title:22}  {ours:>11.1f}  {floor:>12.1f}  {more:>9.1f}  {ours / floor:.1f}")


if __name__ == "__main__":
    main()
