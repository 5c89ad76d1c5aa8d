"""What `mlxp ls` costs over ten thousand runs: `python benchmarks/listing.py`.

Beside it stands a plain loop of `yaml.load`, with libyaml, over the records alone. The first time nothing is remembered
yet; then what did not change is not read again. A scheduler that answers at once stands in for SLURM, since what it
takes is not ours; it counts how often it is asked.
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

import yaml

from mlxp_core.files import write_whole
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import ended, new_info, started, write_info
from mlxp_core.runs.journal import RECORD
from mlxp_core.runs.plan_file import PlanFile

RUNS = 10_000
# of an array each
SWEEP = 1_000
# still waiting or running, so that the scheduler has to be asked
OPEN = 500
TIMES = 5
SQUEUE = """#!/bin/sh
echo asked >> {log}
for task in $(seq 0 {last}); do echo "{array}_$task|RUNNING|None"; done
"""


def make_runs(root: Path) -> None:
    """Ten sweeps of a thousand runs each, with metrics."""
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
            overrides = [f"optimizer.lr={number / 1e5}", f"seed={number % 10}", "model=deep"]
            make_run(run, job_id, overrides, is_open=number > RUNS - OPEN)
            entry = {"directory": str(run.path), "output_subdir": "metadata", "sweep_overrides": overrides}
            runs.append({**entry, "overrides": [overrides]})
            common = {"scheduler": "SLURMScheduler", "at": "2026-11-23T03:31:40+00:00"}
            submissions.append({"run": str(run.path), "job_id": job_id, **common})
        PlanFile(
            scheduler="mlxp_core.schedulers.slurm.SLURMScheduler",
            options={},
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
        (sweep / RECORD).write_text("".join(f"{json.dumps(line)}\n" for line in submissions))


def make_run(run: RunDirectory, job_id: str, overrides: list[str], *, is_open: bool) -> None:
    """One of them, as its job leaves it."""
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
    info["scheduler"]["scheduler_job_id"] = job_id
    info = started(info, "/home/me")
    write_info(run.info, info if is_open else {**ended(info, None), "exit_status": 0})
    write_whole(run.path / "metadata" / "overrides.yaml", yaml.safe_dump(overrides))
    lines = [json.dumps({"loss": 1 / step, "accuracy": 1 - 1 / step, "step": step}) for step in range(1, 101)]
    write_whole(run.path / "metrics" / "train.json", "\n".join([*lines, ""]))


def plain_loop(root: Path) -> float:
    """Seconds to load all records, and no more than that."""
    start = time.perf_counter()
    for number in range(1, RUNS + 1):
        yaml.load((root / str(number) / "metadata" / "info.yaml").read_bytes(), yaml.CSafeLoader)
    return time.perf_counter() - start


def listing(root: Path, environment: dict[str, str]) -> tuple[float, float]:
    """Seconds that the command takes, and the most memory, in MB."""
    argv = [str(Path(sys.executable).with_name("mlxp")), "ls", str(root)]
    start = time.perf_counter()
    process = subprocess.Popen(argv, env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, programs, log = Path(folder, "logs"), Path(folder, "bin"), Path(folder, "asked")
        make_runs(root)
        time.sleep(2.5)  # what is younger is not remembered
        programs.mkdir()
        script = SQUEUE.format(log=log, last=SWEEP - 1, array=RUNS - SWEEP + 1)
        (programs / "squeue").write_text(script)
        (programs / "squeue").chmod(0o755)
        environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
        plain_loop(root)  # what the file system has not read yet
        rows: dict[str, list[tuple[float, float]]] = {"yaml.load": [], "first": [], "again": []}
        for _ in range(TIMES):
            (root / ".mlxp-cache.json").unlink(missing_ok=True)
            rows["yaml.load"].append((plain_loop(root), 0))
            rows["first"].append(listing(root, environment))
            rows["again"].append(listing(root, environment))
        queries = len(log.read_text().split()) / (2 * TIMES)
        print(f"{RUNS} runs, {OPEN} of them open: {queries:g} query to the scheduler a time")
        beside = median(seconds for seconds, _ in rows["yaml.load"])
        print(f"{'':<12} {'s':>6}  {'ratio':>5}  {'MB':>4}")
        for name, values in rows.items():
            seconds, memory = (median(column) for column in zip(*values, strict=True))
            print(f"{name:<12} {seconds:>6.2f}  {seconds / beside:>5.2f}  {memory or 0:>4.0f}")


if __name__ == "__main__":
    main()
