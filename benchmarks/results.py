"""The cost of results as data: `python benchmarks/results.py`, with the packages of `hydra-mlxp[results]`.

`read_runs().to_pandas()` and `mlxp table` over ten thousand runs are compared with `mlxp ls` over the same runs, all
with their caches filled. Reading all logged records of a thousand runs into a frame is compared with reading the same
files with orjson into a frame. Times without imports are measured inside the process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import pandas  # noqa: TID253  # not part of the package
from listing import ACTIVE, RUNS, SQUEUE, SWEEP, make_runs

ROUNDS = 5
LONG_RUNS, RECORDS = 1_000, 1_000
CONFIG = """optimizer:
  name: adam
  lr: {lr}
  betas: [0.9, 0.999]
model:
  hidden: [128, 64]
  dropout: 0.1
data:
  path: /data/digits
  augment: true
seed: {seed}
epochs: 100
batch_size: 32
"""
IN_PYTHON = """
import sys, time
from mlxp_core import read_runs
import {library}, mlxp_core.results.collection
start = time.perf_counter()
frame = read_runs(sys.argv[1]).{call}
print(time.perf_counter() - start)
"""
WITH_ORJSON = """
import sys, time
from pathlib import Path
import orjson, pandas
start = time.perf_counter()
rows = []
for run in range(1, int(sys.argv[2]) + 1):
    lines = Path(sys.argv[1], str(run), "metrics", "train.json").read_bytes().splitlines()
    for record in orjson.loads(b"[" + b",".join(lines) + b"]"):
        record["run"] = run
        rows.append(record)
frame = pandas.DataFrame(rows)
print(time.perf_counter() - start)
"""


def timed(argv: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a program; return its seconds, and those that it printed itself (0 if it printed none)."""
    start = time.perf_counter()
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True)
    elapsed = time.perf_counter() - start
    try:
        return elapsed, float(done.stdout)
    except ValueError:
        return elapsed, 0


def compare(programs: dict[str, list[str]], environment: dict[str, str], *, inside: bool) -> None:
    """Run programs in turn, and print their times and their ratios to the first one."""
    for argv in programs.values():
        timed(argv, environment)  # fills the caches
    rounds = [{name: timed(argv, environment) for name, argv in programs.items()} for _ in range(ROUNDS)]
    first = next(iter(programs))
    for name in programs:
        seconds = median(one[name][0] for one in rounds)
        within = median(one[name][1] for one in rounds)
        ratio = median(one[name][inside and one[name][1] > 0] / one[first][inside] for one in rounds)
        print(f"{name:<32} {seconds:>6.2f}  {within or seconds:>18.2f}  {ratio:>5.2f}")


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def main() -> None:
    print(f"pandas {pandas.__version__}")
    mlxp = str(Path(sys.executable).with_name("mlxp"))
    with tempfile.TemporaryDirectory() as folder:
        root, long, programs = Path(folder, "logs"), Path(folder, "long"), Path(folder, "bin")
        make_runs(root)
        for number in range(1, RUNS + 1):
            config = CONFIG.format(lr=number // 10 / 1e5, seed=number % 10)
            (root / str(number) / "metadata" / "config.yaml").write_text(config)
        long.mkdir()
        (long / ".numbers").write_text(f"{LONG_RUNS}\n")
        lines = [
            json.dumps({"loss": 1 / step, "accuracy": 1 - 1 / step, "step": step}) for step in range(1, RECORDS + 1)
        ]
        for number in range(1, LONG_RUNS + 1):
            (long / str(number) / "metadata").mkdir(parents=True)
            info = (root / str(number) / "metadata" / "info.yaml").read_text().replace(f"{root}/", f"{long}/")
            (long / str(number) / "metadata" / "info.yaml").write_text(info)
            (long / str(number) / "metrics").mkdir()
            (long / str(number) / "metrics" / "train.json").write_text("\n".join([*lines, ""]))
        programs.mkdir()
        script = SQUEUE.format(log=Path(folder, "queries"), last=SWEEP - 1, array=RUNS - SWEEP + 1)
        (programs / "squeue").write_text(script)
        (programs / "squeue").chmod(0o755)
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        time.sleep(2.5)  # younger files are not cached
        print(f"{RUNS} runs, {ACTIVE} of them active")
        print(f"{'':<32} {'s':>6}  {'s without imports':>18}  ratio")
        frame = IN_PYTHON.format(library="pandas", call="to_pandas()")
        table = [mlxp, "table", "--over", "seed", "--of", "train.accuracy", "--best", "max", str(root)]
        commands = {"mlxp ls": [mlxp, "ls", str(root)], "to_pandas()": python(frame, str(root)), "mlxp table": table}
        compare(commands, environment, inside=False)
        print(f"{LONG_RUNS} runs, {RECORDS} records each")
        frame = IN_PYTHON.format(library="pandas", call="to_pandas('train')")
        reads = {
            "orjson": python(WITH_ORJSON, str(long), str(LONG_RUNS)),
            "to_pandas('train')": python(frame, str(long)),
        }
        compare(reads, environment, inside=True)


if __name__ == "__main__":
    main()
