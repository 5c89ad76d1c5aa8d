"""Statuses of runs that real schedulers have, had, or lost; ends that take long are in test_fates."""

from __future__ import annotations

import os
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.clusters.own_slurm import OwnSlurm
from tests.programs import App, info
from tests.support.cli import forgetting, listed, mlxp
from tests.support.cli import statuses_in_order as statuses

pytestmark = pytest.mark.once


def out_of_reach(app: App) -> dict[str, str]:
    """Return an environment in which SLURM's programs do not reach their controller."""
    lines = Path("/etc/slurm/slurm.conf").read_text().splitlines()
    lines = [line for line in lines if not line.startswith("SlurmctldPort")]
    return {"SLURM_CONF": str(app.write("slurm.conf", "\n".join([*lines, "SlurmctldPort=1", ""])))}


def test_cancelled_while_pending(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    app = cluster.app(f"states-{request.node.name}").write_probe()
    app.sweep("x=1,2", f"hydra/launcher={cluster.launcher}", "hydra.launcher.option_cmd=['--hold']",
              "hydra/callbacks=mlxp_logging")  # fmt: skip
    assert statuses(app) == ["PENDING", "PENDING"]
    watching = app.start(str(Path(app.python).with_name("mlxp")), "watch", "--interval", "1")
    assert watching.stdout is not None
    assert watching.stdout.readline() == "0/2 finished: 2 PENDING\n"
    first, second = cluster.job_ids(app)
    cluster.cancel([second])
    assert "PENDING -> CANCELLED (its job was cancelled)  x=2" in watching.stdout.readline()
    # Who did not see the job pending does not conclude anything from its absence in the first minute
    cluster.wait_for(lambda: statuses(app) == ["PENDING", "CANCELLED"])
    cluster.cancel([first])
    stdout, stderr = watching.communicate(timeout=900)
    assert stdout.splitlines()[-1] == "2/2 finished: 2 CANCELLED", stderr
    assert watching.returncode == 1
    assert statuses(app) == ["CANCELLED", "CANCELLED"]
    if cluster.launcher == "slurm":
        assert statuses(app, forgetting(app)) == ["CANCELLED", "CANCELLED"]
        (record,) = app.directory.rglob("job-states.jsonl")
        record.write_text("no JSON\n")
        cluster.wait_for(lambda: statuses(app, forgetting(app)) == ["UNKNOWN", "UNKNOWN"])


def test_while_running(scheduler: Cluster, request: pytest.FixtureRequest) -> None:
    """Runs share a job; one fails by itself before the job is cancelled. Then the scheduler is out of reach."""
    app = scheduler.app(f"states-{request.node.name}").write_probe()
    app.sweep("action=raise,sleep600,null", f"hydra/launcher={scheduler.launcher}", "hydra.launcher.runs_per_job=3",
              "hydra.launcher.parallel_runs=3", "hydra/callbacks=mlxp_logging")  # fmt: skip
    scheduler.wait_for_runs(app, 3)
    runs = [app.directory / "logs" / name for name in "123"]
    scheduler.wait_for(lambda: all("exit_status" in info(runs[place]) for place in (0, 2)))
    assert statuses(app) == ["FAILED", "RUNNING", "COMPLETE"]
    if scheduler.launcher == "slurm":
        result = mlxp(app, "ls", "--columns", "status,reason", env=out_of_reach(app))
        assert result.status == 0
        assert "RUNNING   from its record; SLURM did not respond" in result.stdout
        assert "Unable to contact slurm controller" in result.stderr
        assert "Showing the last recorded status of its runs." in result.stderr
    scheduler.cancel(scheduler.job_ids(app))
    scheduler.wait_for(lambda: statuses(app)[1] != "RUNNING")
    assert listed(app) == {
        "1": ("FAILED", "ValueError: told to fail"),
        "2": ("CANCELLED", "its job was cancelled"),
        "3": ("COMPLETE", ""),
    }
    followed = mlxp(app, "log", "1", "-f")
    assert (followed.status, followed.stdout) == (1, "a line on stdout\n")
    assert mlxp(app, "log", "2", "-f").stderr.endswith("2 is CANCELLED: its job was cancelled\n")
    shown = mlxp(app, "show", "2").stdout
    assert f"job        {scheduler.job_ids(app)[1]} on {scheduler.launcher.upper()}" in shown


def test_a_run_by_hand(slurm: Cluster) -> None:
    """It is no longer the job's run, and its process decides."""
    app = slurm.app("states-by-hand").write_probe()
    slurm.sweep(app, "action=sleep600", "hydra/callbacks=mlxp_logging", "hydra.launcher.option_cmd=['--hold']",
                "hydra.launcher.dry_run=true")  # fmt: skip
    process = app.start("bash", "logs/1/script.sh")
    slurm.wait_for_runs(app, 1)
    assert statuses(app) == ["RUNNING"]
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    ((status, reason),) = listed(app).values()
    assert (status, "has ended without recording an exit" in reason) == ("FAILED", True), info(
        app.directory / "logs" / "1"
    )


def test_a_lost_node(own_slurm: OwnSlurm) -> None:
    app = own_slurm.app("states-node").write_probe()
    app.sweep("action=sleep600", "hydra/launcher=slurm", "hydra/callbacks=mlxp_logging",
              "hydra.launcher.option_cmd=['--no-requeue']")  # fmt: skip
    own_slurm.wait_for_runs(app, 1)
    node = own_slurm.output("squeue", "-h", "-j", own_slurm.job_ids(app)[0], "-o", "%N").strip()
    try:
        own_slurm.output("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        own_slurm.wait_for(lambda: statuses(app) != ["RUNNING"])
        assert listed(app) == {"1": ("NODE_FAIL", "its node failed")}
    finally:
        # It may have come back by itself (ReturnToService)
        with suppress(subprocess.CalledProcessError):
            own_slurm.output("scontrol", "update", f"nodename={node}", "state=resume")
