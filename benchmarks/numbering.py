"""The cost of numbering a run as the directory fills: `python benchmarks/numbering.py`.

It is compared, in the same rounds, with mkdir of a directory.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from mlxp_core.runs.directory import allocate_run

STEPS = (0, 1_000, 5_000, 20_000)
SAMPLES = 500


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        ours, raw = Path(folder, "ours"), Path(folder, "raw")
        raw.mkdir()
        print(f"{'runs':>10}  {'allocate (us)':>13}  {'mkdir (us)':>10}  ratio")
        made = 0
        for step in STEPS:
            while made < step:
                allocate_run(ours)
                made += 1
            times: tuple[list[float], list[float]] = ([], [])
            for sample in range(SAMPLES):
                start = time.perf_counter()
                allocate_run(ours)
                middle = time.perf_counter()
                (raw / f"{step}-{sample}").mkdir()
                times[0].append(middle - start)
                times[1].append(time.perf_counter() - middle)
            made += SAMPLES
            us = [median(values) * 1e6 for values in times]
            print(f"{step:>10}  {us[0]:>13.0f}  {us[1]:>10.0f}  {us[0] / us[1]:.1f}")


if __name__ == "__main__":
    main()
