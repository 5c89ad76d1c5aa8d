"""A directory is refused to a second run while its run is pending or running, however that run ends."""

from __future__ import annotations

import signal

import pytest

from tests.clusters import Cluster
from tests.programs import LOGGING, App, info
from tests.support.processes import wait_until

pytestmark = pytest.mark.waits

FIRST = (LOGGING, "hydra.callbacks.mlxp_logging.forced_log_id=1")


@pytest.mark.once
@pytest.mark.parametrize("launcher", ["none", "local"])
def test_on_this_machine(app: App, launcher: str) -> None:
    again = FIRST if launcher == "none" else ("-m", "hydra/launcher=local", *FIRST)
    process = app.start(app.python, "main.py", LOGGING, "action=sleep600")
    wait_until(lambda: bool(app.runs()))
    record = (app.directory / "logs" / "1" / "metadata" / "info.yaml").read_bytes()
    refused = app.run(*again)
    assert refused.status == 1
    assert f"The run in {app.directory}/logs/1 is not finished (RUNNING)" in refused.stderr
    assert (app.directory / "logs" / "1" / "metadata" / "info.yaml").read_bytes() == record
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert app.run(*again).status == 0
    assert info(app.directory / "logs" / "1")["status"] == "COMPLETE"


@pytest.mark.once
def test_on_a_cluster(scheduler: Cluster) -> None:
    """It is refused while the run is pending and while it runs, also in Hydra's own directories, but not afterwards."""
    app = scheduler.app("run-guard").write_probe()
    launcher = ("-m", f"hydra/launcher={scheduler.launcher}")
    own = (*launcher, "hydra.sweep.dir=own", "hydra.sweep.subdir=run")
    app.sweep(*launcher[1:], LOGGING, "action=sleep600")
    app.sweep(*own[1:], "action=sleep600")
    for arguments, run in (((*launcher, *FIRST), "logs/1"), (own, "own/run")):
        refused = app.run(*arguments)
        assert refused.status == 1
        assert f"The run in {app.directory}/{run} is not finished (" in refused.stderr
        assert ", job " in refused.stderr
    scheduler.wait_for_runs(app, 2)
    refused = app.run(*launcher, *FIRST)
    assert "is not finished (RUNNING, job " in refused.stderr
    assert len(scheduler.job_ids(app)) == 2
    scheduler.cancel(scheduler.job_ids(app))
    scheduler.wait(scheduler.job_ids(app))
    app.sweep(*launcher[1:], *FIRST)
    app.sweep(*own[1:])
    scheduler.wait(scheduler.job_ids(app)[2:])
    assert [info(run)["status"] for run in app.runs()] == ["COMPLETE"] * 2
