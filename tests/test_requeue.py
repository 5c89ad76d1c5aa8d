"""Runs at their time limit are notified, save their work and are requeued, on the real schedulers."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.clusters import Cluster
from tests.programs import App, info
from tests.support.sweepers import returned, start, with_showing_sweeper

pytestmark = pytest.mark.waits

NOTIFIED = """
import os, signal, sys, time
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    what, task = config.what, os.environ.get("SLURM_PROCID", "0")
    place = Path(HydraConfig.get().runtime.output_dir)
    saved = place / f"saved-{task}"
    attempts = [*place.glob(f"attempt-{task}-*")]
    (place / f"attempt-{task}-{len(attempts) + 1}").touch()
    print(f"attempt {len(attempts) + 1} of task {task}", flush=True)
    notified = []

    def on_signal(number, frame):
        saved.write_text("my work")
        notified.append(number)
        if what == "saves":
            sys.exit(3)
        if what == "fails":
            raise ValueError("failed by itself")

    if what not in ("plain", "endless"):
        signal.signal(getattr(signal, config.signal), on_signal)
    if what == "value" or (attempts and what != "endless"):
        return saved.read_text() if saved.exists() else "no work"
    while not (notified and what == "finishes"):
        time.sleep(0.05)
    return "finished"

if __name__ == "__main__":
    main()
"""
WHATS = ["plain", "saves", "continues", "fails", "finishes", "endless"]
SHARED = ["plain", "value", "saves", "value"]


class Sweep(NamedTuple):
    """A running sweep."""

    app: App
    process: subprocess.Popen[str]
    runs: int

    def end(self, whats: list[str]) -> dict[str, str]:
        """Wait for the sweep; return what each run returned."""
        stdout, stderr = self.process.communicate(timeout=900)
        assert stdout.count("RETURN|") == len(whats), stdout + stderr
        return returned(stdout, whats)

    def log(self, number: int) -> str:
        return (self.app.directory / f"logs/{number}/log.stderr").read_text()

    def info(self, number: int) -> dict[str, Any]:
        return info(self.app.directory / f"logs/{number}")

    def attempts(self, number: int) -> list[str]:
        return re.findall(r"attempt \d of task \d", (self.app.directory / f"logs/{number}/log.stdout").read_text())


def launch(cluster: Cluster, name: str, whats: list[str], *options: str, signal: str = "USR2") -> Sweep:
    app = with_showing_sweeper(cluster.app(f"requeue-{name}"), NOTIFIED)
    app.write("conf/config.yaml", f"what: value\nsignal: SIG{signal}\n")
    options = ("hydra.launcher.max_requeues=1", f"hydra.launcher.requeue_signal={signal}", *options)
    return Sweep(app, start(cluster, app, whats, *options), len(whats))


@pytest.fixture(scope="module")
def sweeps(slurm: Cluster, oar: Cluster) -> Iterator[dict[str, Sweep]]:
    """All sweeps of this module, which run concurrently because each waits for its time limit."""
    short = ("hydra.launcher.timeout_min=2", "hydra.launcher.requeue_signal_s=30")
    shared = ("hydra.launcher.runs_per_job=4", "hydra.launcher.parallel_runs=2")
    oar_time = ("hydra.launcher.timeout_min=2", "hydra.launcher.requeue_signal_s=50")
    sweeps = {
        "slurm": launch(slurm, "slurm", WHATS, *short),
        "slurm-shared": launch(slurm, "slurm-shared", SHARED, *short, *shared, signal="USR1"),
        "slurm-tasks": launch(slurm, "slurm-tasks", ["saves"], *short, "hydra.launcher.tasks_per_node=2"),
        "oar": launch(oar, "oar", WHATS, *oar_time),
        "oar-shared": launch(oar, "oar-shared", SHARED, *oar_time, *shared),
    }
    start_at_once([sweep for name, sweep in sweeps.items() if name.startswith("slurm")], slurm)
    yield sweeps
    for name, sweep in sweeps.items():  # after a failed test
        if sweep.process.poll() is None:
            sweep.process.kill()
            sweep.process.communicate()
            cluster = slurm if name.startswith("slurm") else oar
            ids = [str(sweep.info(number)["scheduler"]["scheduler_job_id"]) for number in range(1, sweep.runs + 1)]
            cluster.cancel([*cluster.job_ids(sweep.app), *(job_id for job_id in ids if job_id != "None")])


def start_at_once(sweeps: list[Sweep], slurm: Cluster) -> None:
    """Start requeued jobs early, which SLURM delays for two minutes, and check the records of their runs before."""
    slurm.wait_for(lambda: all(len(slurm.job_ids(sweep.app)) == sweep.runs for sweep in sweeps))
    runs = [(job, sweep, number) for sweep in sweeps for number, job in enumerate(slurm.job_ids(sweep.app), start=1)]
    since: dict[str, float] = {}
    notified = False
    end = time.monotonic() + 600
    while any(sweep.process.poll() is None for sweep in sweeps) and time.monotonic() < end:
        time.sleep(0.5)
        waiting = ["squeue", "-h", "-r", "-t", "PD", "-o", "%i|%r"]
        rows = subprocess.run(waiting, capture_output=True, check=True, text=True).stdout.splitlines()
        for job_id in {job for job, _, _ in runs if f"{job}|BeginTime" in rows}:
            # An earlier start fails: "Job credential revoked"
            if time.monotonic() - since.setdefault(job_id, time.monotonic()) < 3:
                continue
            for record in [sweep.info(number) for job, sweep, number in runs if job == job_id]:
                if record["status"] != "COMPLETE":
                    assert (record["status"], record.get("exit_status")) == ("STARTING", None)
                    assert record["requeues"] == {job_id: 1}
            subprocess.run(["scontrol", "update", f"jobid={job_id}", "StartTime=now"], check=True)
        if not notified and any(
            sweeps[0].app.directory.glob("logs/6/attempt-0-2")
        ):  # the second start of `endless`: notify it early
            notified = True
            subprocess.run(["scancel", "-b", "-s", "USR2", runs[5][0]], check=True)


def check_fates(sweep: Sweep) -> None:
    """Check the outcomes of WHATS."""
    results = sweep.end(WHATS)
    assert results["plain"] == "COMPLETED 'no work'"
    assert results["saves"] == "COMPLETED 'my work'"
    assert results["continues"] == "COMPLETED 'my work'"
    assert results["fails"] == "FAILED ValueError('failed by itself')"
    assert results["finishes"] == "COMPLETED 'finished'"
    assert "ended by signal SIGUSR2 during the run" in results["endless"]
    assert [sweep.info(number)["attempts"] for number in range(1, 7)] == [2, 2, 2, 1, 1, 2]
    assert [len(sweep.attempts(number)) for number in range(1, 7)] == [2, 2, 2, 1, 1, 2]  # the log is complete
    assert [sweep.info(number)["exit_status"] for number in range(1, 7)] == [0, 0, 0, 1, 0, 140]
    for number in (1, 2, 3, 6):
        assert "the run did not complete: its job is requeued (1 of 1)" in sweep.log(number)
    assert "its job is not requeued: hydra.launcher.max_requeues=1 is reached; submit" in sweep.log(6)
    assert "mlxp:" not in sweep.log(4) + sweep.log(5)


def check_shared(sweep: Sweep) -> None:
    """Check the outcomes of SHARED; `value` completes before the others are notified, or starts after the requeue."""
    results = sweep.end(SHARED)
    assert set(results.values()) <= {"COMPLETED 'no work'", "COMPLETED 'my work'"}
    assert [len(sweep.attempts(number)) for number in (1, 2, 3, 4)] == [2, 1, 2, 1]
    assert "is requeued (1 of 1)" in sweep.log(1)
    assert "is requeued (1 of 1)" in sweep.log(3)
    assert "mlxp:" not in sweep.log(2)


@pytest.mark.once
def test_slurm(sweeps: dict[str, Sweep]) -> None:
    check_fates(sweeps["slurm"])


@pytest.mark.once
def test_slurm_runs_that_share_a_job(sweeps: dict[str, Sweep]) -> None:
    check_shared(sweeps["slurm-shared"])


@pytest.mark.once
def test_slurm_many_tasks(sweeps: dict[str, Sweep]) -> None:
    """srun passes the signal to each task."""
    sweep = sweeps["slurm-tasks"]
    assert sweep.end(["saves"]) == {"saves": "COMPLETED 'my work'"}
    assert sorted(sweep.attempts(1)) == [f"attempt {n} of task {task}" for n in (1, 2) for task in (0, 1)]
    assert {file.name for file in Path(sweep.app.directory, "logs/1").glob("saved-*")} == {"saved-0", "saved-1"}


@pytest.mark.once
def test_oar(sweeps: dict[str, Sweep], oar: Cluster) -> None:
    """OAR creates a new job."""
    sweep = sweeps["oar"]
    last = sweep.app.directory / "logs/6"
    oar.wait_for(lambda: len(list(last.glob("attempt-*"))) == 2)
    ids = oar.job_ids(sweep.app)
    again = sweep.info(6)["scheduler"]["scheduler_job_id"]
    assert again not in ids
    subprocess.run(["oardel", "-c", again], check=True)
    check_fates(sweep)


@pytest.mark.once
def test_oar_runs_that_share_a_job(sweeps: dict[str, Sweep]) -> None:
    check_shared(sweeps["oar-shared"])
