"""Arrays: one request for a whole sweep, limits, and runs that share a job, on the real schedulers."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.programs import App, info

# An application that records when it began and ended
TIMED = """
import time
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    start = time.time()
    time.sleep(config.seconds)
    Path(HydraConfig.get().runtime.output_dir, "span").write_text(f"{start} {time.time()}")
    if config.x == config.bad:
        raise ValueError("told to fail")

if __name__ == "__main__":
    main()
"""


def timed(app: App) -> App:
    """Make an application the one above."""
    app.write("main.py", TIMED)
    app.write("conf/config.yaml", "x: 0\nseconds: 6\nbad: -1\n")
    return app


def max_concurrent(app: App) -> int:
    """Return the maximum number of concurrent runs."""
    spans = [tuple(map(float, file.read_text().split())) for file in app.directory.rglob("span")]
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def requests(app: App) -> list[Path]:
    """Return the directories of all requests."""
    return sorted(answer.parent for answer in app.directory.rglob("answer.txt"))


def test_one_request(scheduler: Cluster, scheduler_app: App) -> None:
    states = scheduler.sweep(scheduler_app, "x=1,2,3", "action=null,raise", "hydra/callbacks=mlxp_logging")
    assert states == ["COMPLETED", "FAILED"] * 3
    (request,) = requests(scheduler_app)
    ids = scheduler.job_ids(scheduler_app)
    assert [info(run)["scheduler"]["scheduler_job_id"] for run in scheduler_app.runs()] == ids
    assert len(set(ids)) == 6
    for index, run in enumerate(scheduler_app.runs()):
        assert (request / str(index)).resolve() == run
        assert (run / "log.stdout").read_text() == "a line on stdout\n"
        assert "a line on stderr\n" in (run / "log.stderr").read_text()
    arrays = {job.partition("_")[0] for job in ids}
    assert len(arrays) == (1 if scheduler.launcher == "slurm" else 6)


@pytest.mark.once
def test_the_log_of_a_task_says_that_it_was_killed(scheduler: Cluster, scheduler_app: App) -> None:
    scheduler_app.sweep(f"hydra/launcher={scheduler.launcher}", "x=1,2", "action=sleep600")
    ids = scheduler.job_ids(scheduler_app)
    scheduler.wait_for_runs(scheduler_app, 2)
    scheduler.cancel(ids[1:])
    assert scheduler.wait(ids[1:])[0] in ("CANCELLED", "FAILED")
    words = "CANCELLED AT" if scheduler.launcher == "slurm" else f"Job {ids[1]} KILLED"
    assert words in (scheduler_app.runs()[1] / "log.stderr").read_text()
    assert words not in (scheduler_app.runs()[0] / "log.stderr").read_text()
    scheduler.cancel(ids[:1])


@pytest.mark.once
def test_array_parallelism(slurm: Cluster) -> None:
    """The limit also holds between requests."""
    app = timed(slurm.app("array-parallelism"))
    slurm.sweep(app, "x=range(5)", "hydra.launcher.array_parallelism=2", "hydra.launcher.max_array_size=3")
    assert len(requests(app)) == 2
    assert max_concurrent(app) == 2
    assert len(list(app.directory.rglob("span"))) == 5


@pytest.mark.once
def test_oar_has_no_array_parallelism(scheduler_app: App, scheduler: Cluster) -> None:
    if scheduler.launcher == "oar":
        result = scheduler_app.run("-m", "x=1,2", "hydra/launcher=oar", "hydra.launcher.array_parallelism=1")
        assert result.status == 1
        assert "runs share jobs instead" in result.stderr
        assert not (scheduler_app.directory / "multirun").exists()


def test_runs_that_share_a_job(scheduler: Cluster, request: pytest.FixtureRequest) -> None:
    """A run that fails does not stop the others; each has its own directory, status and exit code."""
    app = timed(scheduler.app(request.node.name))
    options = ["hydra.launcher.runs_per_job=4", "hydra.launcher.parallel_runs=2", "hydra/callbacks=mlxp_logging"]
    states = scheduler.sweep(app, "x=range(5)", "bad=1", *options)
    assert states == ["FAILED"] * 4 + ["COMPLETED"]
    runs = [app.directory / "logs" / str(number) for number in range(1, 6)]
    assert [info(run)["status"] for run in runs] == ["COMPLETE", "FAILED", "COMPLETE", "COMPLETE", "COMPLETE"]
    assert [info(run)["exit_status"] for run in runs] == [0, 1, 0, 0, 0]
    assert len({info(run)["scheduler"]["scheduler_job_id"] for run in runs}) == 2
    assert "told to fail" in (runs[1] / "log.stderr").read_text()
    first = [tuple(map(float, (run / "span").read_text().split())) for run in runs[:4]]
    assert max(sum(start <= moment < end for start, end in first) for moment, _ in first) == 2
    # When the job runs again, completed runs are skipped and failed runs are repeated
    before = [(run / "span").read_text() for run in runs[:4]]
    script = requests(app)[0] / "script.sh"
    task = {"SLURM_ARRAY_TASK_ID": "0", "OAR_JOB_ID": "0"}
    again = app.call("bash", str(script), "0", env=task)
    assert again.status != 0
    after = [(run / "span").read_text() for run in runs[:4]]
    assert [old != new for old, new in zip(before, after, strict=True)] == [False, True, False, False]


@pytest.mark.once
def test_runs_that_share_a_cancelled_job(scheduler: Cluster, request: pytest.FixtureRequest) -> None:
    app = timed(scheduler.app(request.node.name))
    app.sweep(f"hydra/launcher={scheduler.launcher}", "x=1,2", "seconds=60", "hydra.launcher.runs_per_job=2",
              "hydra.launcher.parallel_runs=2", "hydra/callbacks=mlxp_logging")  # fmt: skip
    ids = scheduler.job_ids(app)
    scheduler.wait_for(lambda: [info(app.directory / f"logs/{n}")["status"] for n in (1, 2)] == ["RUNNING"] * 2)
    scheduler.cancel(ids)
    scheduler.wait(ids)
    if scheduler.launcher == "slurm":  # OAR kills at once
        scheduler.wait_for(lambda: [info(app.directory / f"logs/{n}")["status"] for n in (1, 2)] == ["FAILED"] * 2)


@pytest.mark.once
def test_a_sweep_larger_than_an_array(slurm: Cluster) -> None:
    """The limit comes from SLURM."""
    app = slurm.app("max-array-size").write_probe()
    output = subprocess.run(["scontrol", "show", "config"], capture_output=True, text=True, check=True).stdout
    limit = int(re.findall(r"MaxArraySize\s*=\s*(\d+)", output)[0])
    result = app.run("-m", "x=1,2", "hydra/launcher=slurm", f"hydra.launcher.max_array_size={limit + 1}")
    assert result.status == 1
    assert (
        f"hydra.launcher.max_array_size must be at most {limit}, the limit of SLURM here; got {limit + 1}."
        in result.stderr
    )
    with slurm.held() as held:
        app.sweep(f"x=range({limit + 1})", "hydra/launcher=slurm", "hydra/callbacks=mlxp_logging", held)
        slurm.cancel(slurm.job_ids(app))
    assert [len(list(request.glob("[0-9]*"))) for request in requests(app)] == [limit, 0]
    assert len(slurm.job_ids(app)) == limit + 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["hydra.launcher.array_parallelism=0"], "hydra.launcher.array_parallelism must be a positive integer, got 0."),
        (
            ["hydra.launcher.runs_per_job=3"],
            "hydra.launcher.runs_per_job must be at most the number of runs in the sweep (2), got 3.",
        ),
        (
            ["hydra.launcher.parallel_runs=2"],
            "hydra.launcher.parallel_runs must be at most hydra.launcher.runs_per_job (1), ",
        ),
        (
            ["hydra.launcher.array_parallelism=1", "hydra.launcher.runs_per_job=2", "hydra.launcher.parallel_runs=2"],
            "hydra.launcher.array_parallelism must be at least hydra.launcher.parallel_runs (2), the number of runs "
            "at a time in one job; got 1.",
        ),
        (["hydra.launcher.max_array_size=0"], "hydra.launcher.max_array_size must be a positive integer, got 0."),
        (["hydra.launcher.wait=maybe"], "hydra.launcher.wait"),
        (["hydra.launcher.submit_function=sometimes"], "submit_function must be auto or never, got sometimes."),
    ],
    ids=str,
)
def test_options_out_of_range(app: App, options: list[str], message: str) -> None:
    result = app.run("-m", "x=1,2", "hydra/launcher=slurm", "hydra.launcher.dry_run=true", *options)
    assert result.status == 1
    assert message in result.stderr + result.stdout
    assert "Traceback" not in result.text
    assert not (app.directory / "multirun").exists()


@pytest.mark.parametrize("override", ["hydra.launcher.timeout_min=1,2", "hydra/launcher=slurm,oar"])
def test_one_launch_has_one_request(app: App, override: str) -> None:
    result = app.run("-m", "x=1,2", override, *(["hydra/launcher=slurm"] if "timeout" in override else []),
                     "hydra.launcher.dry_run=true")  # fmt: skip
    assert result.status == 1
    assert not (app.directory / "multirun").exists()


@pytest.mark.once
def test_a_run_directory_removed_before_the_run_starts(scheduler: Cluster, scheduler_app: App) -> None:
    """The job fails, and the other runs are unaffected."""
    with scheduler.held() as held:
        scheduler_app.sweep("x=1,2", f"hydra/launcher={scheduler.launcher}", "hydra/callbacks=mlxp_logging", held)
        shutil.rmtree(scheduler_app.directory / "logs" / "1")
    assert scheduler.wait(scheduler.job_ids(scheduler_app)) == ["FAILED", "COMPLETED"]
    assert [run.name for run in scheduler_app.runs()] == ["2"]
