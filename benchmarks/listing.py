"""The cost of `mlxp ls` over ten thousand runs: `python benchmarks/listing.py`.

It is compared with a plain loop of libyaml's `yaml.load` over the records only, in the same round. The first listing
finds no cache; the second one reads only what changed. A program that answers at once replaces SLURM's `squeue` and
counts the queries, because the scheduler's time is not measured here. CPU time is less disturbed by other programs.
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
from typing import NamedTuple

import yaml

from mlxp_core.files import write_whole
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import ended, new_info, started, write_info
from mlxp_core.runs.journal import SUBMISSIONS
from mlxp_core.runs.plan_file import PlanFile
from mlxp_core.runs.starts import new_start, new_start_id

RUNS = 10_000
# Runs of an array
SWEEP = 1_000
# Runs that have not finished, so that the scheduler has to be asked
ACTIVE = 500
ROUNDS = 5
SQUEUE = """#!/bin/sh
echo query >> {log}
case "$*" in *%F*) exit ;; esac # jobs of scripts that were submitted by hand: none
for task in $(seq 0 {last}); do echo "{array}_$task|RUNNING|None|/home/me/script.sh"; done
"""


def make_runs(root: Path) -> None:
    """Make ten sweeps of a thousand runs each, with metrics."""
    (root / "sweeps").mkdir(parents=True)
    (root / ".numbers").write_text(f"{RUNS}\n")
    for first in range(1, RUNS + 1, SWEEP):
        sweep = root / "sweeps" / f"sweep-{first}"
        launch = sweep / "launch-1"
        launch.mkdir(parents=True)
        runs, submissions = [], []
        for number in range(first, first + SWEEP):
            run = RunDirectory(root / str(number), "metadata")
            job_id = f"{first}_{number - first}"
            overrides = [f"optimizer.lr={number // 10 / 1e5}", f"seed={number % 10}", "model=deep"]
            make_run(run, job_id, overrides, is_active=number > RUNS - ACTIVE)
            entry = {"directory": str(run.path), "output_subdir": "metadata", "sweep_overrides": overrides}
            runs.append({**entry, "overrides": [overrides]})
            common = {"scheduler": "SLURMScheduler", "at": "2026-11-23T03:31:40+00:00"}
            submissions.append({"run": str(run.path), "job_id": job_id, **common})
        PlanFile(
            scheduler="mlxp_core.schedulers.slurm.SLURMScheduler",
            options={},
            after=[],
            array_size=SWEEP,
            runs=runs,
            app={"cwd": str(root), "environment": {}},
            main_file=None,
            version=None,
            settings={},
            started_in=str(root),
            is_resubmission=False,
            at="2026-11-23T03:31:40+00:00",
        ).write(launch / "plan.json")
        (sweep / SUBMISSIONS).write_text("".join(f"{json.dumps(line)}\n" for line in submissions))


def make_run(run: RunDirectory, job_id: str, overrides: list[str], *, is_active: bool) -> None:
    """Make a run as its job leaves it."""
    version = {
        "commit_hash": "ab939138347fbf6ebbe6e4ac09e2c6fd6f40c040",
        "repo_path": "/home/me/project",
        "branch": "main",
        "uncommitted": "committed",
        "untracked": ["tutorial/notes.txt"],
        "requirements": [],
        "safe_copy": "/home/me/project/tutorial/.workdir/project/ab939138347fbf6ebbe6e4ac09e2c6fd6f40c040",
    }
    info = new_info(run, scheduler="SLURMScheduler", work_dir="/home/me", main_file="/home/me/main.py", version=version)
    info = started(info, "/home/me", new_start(new_start_id(), job_id))
    write_info(run.info, info if is_active else {**ended(info, None), "exit_status": 0})
    write_whole(run.path / "metadata" / "overrides.yaml", yaml.safe_dump(overrides))
    lines = [json.dumps({"loss": 1 / step, "accuracy": 1 - 1 / step, "step": step}) for step in range(1, 101)]
    write_whole(run.path / "metrics" / "train.json", "\n".join([*lines, ""]))


class Cost(NamedTuple):
    """What one round of one side costs: seconds, CPU seconds, and the most memory in MB (0 for the loop)."""

    seconds: float
    cpu_seconds: float
    memory_mb: float = 0


def plain_loop(root: Path) -> Cost:
    """Load all records, and nothing else."""
    start, cpu_start = time.perf_counter(), time.process_time()
    for number in range(1, RUNS + 1):
        yaml.load((root / str(number) / "metadata" / "info.yaml").read_bytes(), yaml.CSafeLoader)
    return Cost(time.perf_counter() - start, time.process_time() - cpu_start)


def listing(root: Path, environment: dict[str, str]) -> Cost:
    """Run the command."""
    argv = [str(Path(sys.executable).with_name("mlxp")), "ls", str(root)]
    start = time.perf_counter()
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return Cost(time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, programs, log = Path(folder, "logs"), Path(folder, "bin"), Path(folder, "queries")
        make_runs(root)
        time.sleep(2.5)  # younger files are not cached
        programs.mkdir()
        script = SQUEUE.format(log=log, last=SWEEP - 1, array=RUNS - SWEEP + 1)
        (programs / "squeue").write_text(script)
        (programs / "squeue").chmod(0o755)
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        plain_loop(root)  # fills the page cache
        costs: dict[str, list[Cost]] = {"yaml.load": [], "first": [], "second": []}
        for _ in range(ROUNDS):
            (root / ".mlxp-cache.json").unlink(missing_ok=True)
            costs["yaml.load"].append(plain_loop(root))
            costs["first"].append(listing(root, environment))
            costs["second"].append(listing(root, environment))
        queries = len(log.read_text().split()) / (2 * ROUNDS)
        print(f"{RUNS} runs, {ACTIVE} of them active: {queries:g} query to the scheduler per listing")
        print(f"{'':<10} {'s':>6}  {'ratio':>5}  {'CPU s':>6}  {'ratio':>5}  {'MB':>4}")
        for name, rounds in costs.items():
            pairs = list(zip(rounds, costs["yaml.load"], strict=True))
            ratio = median(cost.seconds / baseline.seconds for cost, baseline in pairs)
            cpu_ratio = median(cost.cpu_seconds / baseline.cpu_seconds for cost, baseline in pairs)
            seconds, cpu_seconds, memory = (median(column) for column in zip(*rounds, strict=True))
            print(f"{name:<10} {seconds:>6.2f}  {ratio:>5.2f}  {cpu_seconds:>6.2f}  {cpu_ratio:>5.2f}  {memory:>4.0f}")


if __name__ == "__main__":
    main()
