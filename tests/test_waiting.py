"""Sweepers that need results get the values that the runs returned, and the reasons why others failed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.clusters.own_slurm import OwnSlurm
from tests.programs import App, info
from tests.support.cli import mlxp, statuses_in_order
from tests.support.processes import read_until
from tests.support.sweepers import FATES, RETURNS, returned, start, with_showing_sweeper


def test_returns(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    app = with_showing_sweeper(cluster.app(request.node.name), RETURNS)
    whats = ["value", "mine", "function", "generator", "error", "key", "killed", "left", "late"]
    stdout, stderr = start(cluster, app, whats).communicate(timeout=900)
    results = returned(stdout, whats)
    assert results["value"] == "COMPLETED {'loss': 0.5}", stderr
    assert results["mine"] == "COMPLETED Mine(number=3)"
    assert results["function"].startswith("COMPLETED <function")
    assert results["generator"] == "COMPLETED None"
    assert "1 and 2" in results["error"]
    assert results["key"] == "FAILED KeyError('absent')"
    assert "ended by signal SIGKILL during the run" in results["killed"]
    assert "exit status 5 during the run" in results["left"]
    assert "exit status 6" in results["late"]
    assert "9/9" in stdout


@pytest.mark.once
def test_cancelled_before_it_starts(scheduler: Cluster, request: pytest.FixtureRequest) -> None:
    app = with_showing_sweeper(scheduler.app(request.node.name), FATES)
    with scheduler.held() as held:
        process = start(scheduler, app, ["value", "sleep"], held)
        scheduler.wait_for(lambda: len(scheduler.job_ids(app)) == 2)
        scheduler.cancel(scheduler.job_ids(app)[1:])
    stdout, stderr = process.communicate(timeout=900)
    results = returned(stdout, ["value", "sleep"])
    assert results["value"] == "COMPLETED 7", stderr
    assert re.search("CANCELLED|which never started: it was cancelled", results["sleep"])


@pytest.mark.once
def test_a_removed_run_directory(slurm: Cluster) -> None:
    app = with_showing_sweeper(slurm.app("waiting-gone"), FATES)
    with slurm.held() as held:
        process = start(slurm, app, ["value", "sleep"], held)
        slurm.wait_for(lambda: len(slurm.job_ids(app)) == 2)
        subprocess.run(["rm", "-r", str(app.directory / "logs" / "2")], check=True)
    stdout, stderr = process.communicate(timeout=900)
    results = returned(stdout, ["value", "sleep"])
    assert results["value"] == "COMPLETED 7", stderr
    assert "its directory no longer exists" in results["sleep"]


@pytest.mark.once
def test_the_scheduler_goes_away_and_comes_back(own_slurm: OwnSlurm) -> None:
    app = with_showing_sweeper(own_slurm.app("waiting-down"), FATES)
    process = start(own_slurm, app, ["value", "value"], "hydra.launcher.option_cmd=['--begin=now+15']")
    own_slurm.wait_for(lambda: len(own_slurm.job_ids(app)) == 2)
    with own_slurm.without_controller():
        read_until(process, "SLURM did not answer", of="stderr")
    stdout, stderr = process.communicate(timeout=900)
    assert returned(stdout, ["a", "b"]) == {"a": "COMPLETED 7", "b": "COMPLETED 7"}, stderr
    assert "SLURM did not answer" not in stderr  # once


# What a scheduler's program answers at its Nth call: nothing, something else, or the beginning of its answer
ANSWERS = """#!/bin/sh
calls=$(($(cat {calls} 2> /dev/null || echo 0) + 1))
echo $calls > {calls}
case $calls in
{empty}) exit 0;;
{garbled}) echo "<html>"; exit 0;;
{cut}) /usr/bin/{program} "$@" | head -c 9; exit 0;;
esac
exec /usr/bin/{program} "$@"
"""


def answering(app: App, program: str, *, empty: str = "x", garbled: str = "x", cut: str = "x") -> str:
    """Return a PATH on which a program answers so at the calls with these numbers, such as `2|3`; `*` are all."""
    name = f"bin-{program}-{len(list(app.directory.glob('bin-*')))}"
    text = ANSWERS.format(calls=app.directory / name / "calls", program=program, empty=empty, garbled=garbled, cut=cut)
    app.write(f"{name}/{program}", text).chmod(0o755)
    return f"{app.directory / name}:{app.environment['PATH']}"


@pytest.mark.once
def test_wrong_answers(scheduler: Cluster, request: pytest.FixtureRequest) -> None:
    """One answer that is empty or no answer ends no wait, and changes no status."""
    app = with_showing_sweeper(scheduler.app(request.node.name), FATES)
    program, title = {"slurm": ("squeue", "SLURM"), "oar": ("oarstat", "OAR")}[scheduler.launcher]
    path = app.environment["PATH"]
    app.environment["PATH"] = answering(app, program, empty="2|3", garbled="4|8|9|10", cut="6")
    calls = Path(app.environment["PATH"].partition(":")[0], "calls")
    cannot_be_read = f"The answer of {title} cannot be read ('{program} "
    with scheduler.held() as held:
        process = start(scheduler, app, ["value", "value"], held)
        scheduler.wait_for(lambda: process.poll() is not None or (calls.exists() and int(calls.read_text() or 0) > 12))
        assert process.poll() is None, process.communicate()
        for wrong in ({"empty": "1"}, {"cut": "*"}, {"garbled": "*"}):
            result = mlxp(app, "ls", env={"PATH": answering(app, program, **wrong)})
            assert result.status == 0, result.text
            assert "CANCELLED" not in result.stdout + result.stderr
            assert "UNKNOWN" not in result.stdout
            if wrong == {"empty": "1"}:
                assert result.stdout.count(" PENDING ") == 2, result.text
            else:
                assert cannot_be_read in result.stderr
        assert "printed '<html>')" in result.stderr
    stdout, stderr = process.communicate(timeout=900)
    assert returned(stdout, ["a", "b"]) == {"a": "COMPLETED 7", "b": "COMPLETED 7"}, stderr
    assert stderr.count(cannot_be_read) == 1, stderr
    assert "<html>" in stderr
    app.environment["PATH"] = path
    assert statuses_in_order(app) == ["COMPLETE", "COMPLETE"]


@pytest.mark.once
def test_interrupted_waiting(scheduler: Cluster, request: pytest.FixtureRequest) -> None:
    """The jobs are unaffected, and the message has the command that cancels them."""
    app = with_showing_sweeper(scheduler.app(request.node.name), FATES)
    process = start(scheduler, app, ["value", "sleep"])
    scheduler.wait_for(lambda: len(list(app.directory.glob("logs/*/began"))) == 2)
    read_until(process, "1/2")  # the first result: it waits for the other
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=900)
    ids = scheduler.job_ids(app)
    command = f"scancel {ids[1].partition('_')[0]}" if scheduler.launcher == "slurm" else f"oardel {ids[1]}"
    assert f"to cancel them: {command}" in stderr
    assert "Traceback" not in stderr
    assert scheduler.states(ids[1:]) in (["RUNNING"], ["Running"])
    scheduler.cancel(ids)


@pytest.mark.once
def test_one_query_for_all(slurm: Cluster, tmp_path: Path) -> None:
    """The scheduler gets one query at a time for all runs."""
    app = with_showing_sweeper(slurm.app("waiting-queries"), FATES)
    log = app.directory / "queries"
    for name in ("squeue", "sacct", "scontrol", "sbatch"):
        app.write(f"bin/{name}", f'#!/bin/sh\necho {name} >> {log}\nexec /usr/bin/{name} "$@"\n').chmod(0o755)
    app.environment["PATH"] = f"{app.directory}/bin:{app.environment['PATH']}"
    start_time = time.monotonic()
    stdout, _ = start(slurm, app, ["value"] * 30).communicate(timeout=900)
    seconds = time.monotonic() - start_time
    asked = log.read_text().split()
    assert stdout.count("RETURN") == 30
    assert asked.count("sbatch") == 1
    assert asked.count("scontrol") == 1
    assert asked.count("squeue") <= seconds + 1
    assert asked.count("sacct") <= 1


OPTUNA = """
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    return (config.x - 3) ** 2

if __name__ == "__main__":
    main()
"""

OPTUNA_CONFIG = """
defaults:
  - override hydra/sweeper: optuna
  - override hydra/sweeper/sampler: random
x: 1.0
hydra:
  sweeper: {n_trials: 5, n_jobs: 2, sampler: {seed: 1}, params: {x: "interval(0, 6)"}}
"""


# hydra-optuna-sweeper 1.3 does not run on Hydra 1.4, which does not instantiate its sampler
@pytest.mark.once
def test_optuna(slurm: Cluster) -> None:
    app = slurm.app("optuna")
    app.write("main.py", OPTUNA)
    app.write("conf/config.yaml", OPTUNA_CONFIG)
    options = ["hydra/launcher=slurm", "hydra.launcher.poll_interval_s=1", "hydra/callbacks=mlxp_logging"]
    refused = app.run("-m", *options, "hydra.launcher.wait=false")
    assert refused.status == 1
    assert "The sweeper OptunaSweeper may need the results of its runs" in refused.stderr
    assert not list(app.directory.rglob("script.sh"))
    result = app.sweep(*options)
    assert "Submitting 2 runs to SLURM" in result.stdout
    runs = [app.directory / "logs" / str(number) for number in range(1, 6)]
    assert [info(run)["status"] for run in runs] == ["COMPLETE"] * 5
    values = [float((run / "metadata" / "overrides.yaml").read_text().partition("x=")[2].split()[0]) for run in runs]
    (best,) = app.directory.rglob("optimization_results.yaml")
    assert f"x: {min(values, key=lambda x: (x - 3) ** 2)}" in best.read_text()


@pytest.mark.once
def test_batches(slurm: Cluster) -> None:
    """Each batch of Hydra's own sweeper is a launch of its own; a later one may be smaller."""
    app = slurm.app("batches").write_probe()
    states = slurm.sweep(app, "x=range(5)", "hydra.sweeper.max_batch_size=2", "hydra.launcher.runs_per_job=2")
    assert states == ["COMPLETED"] * 5
    assert [run["job"]["num"] for run in app.seen()] == [0, 1, 2, 3, 4]
    assert len(list(app.directory.rglob("launch-*"))) == 3
