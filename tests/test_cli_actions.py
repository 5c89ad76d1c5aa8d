"""`mlxp cancel`, `resubmit`, `rerun` and `clean`, on real schedulers and on this machine."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.programs import App, Result, info
from tests.terminals import Terminal

pytestmark = pytest.mark.once

LOGGING = "hydra/callbacks=mlxp_logging"


def mlxp(app: App, *arguments: str) -> Result:
    """The command, as the application's user."""
    return app.call(str(Path(app.python).parent / "mlxp"), *arguments)


def statuses(app: App, *arguments: str) -> dict[str, str]:
    """What `mlxp ls` says of each run."""
    rows = json.loads(mlxp(app, "ls", *arguments, "--json").stdout)
    return {row["run"]: row["status"] for row in rows}


def wait_until(condition: Callable[[], bool], timeout_s: float = 60) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)


def running(app: App) -> int:
    """How many runs have begun."""
    return len(list(app.directory.glob("logs/*/seen.json")))


def test_cancel(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    """Waiting and running tasks of an array, and one that is over."""
    app = cluster.app(f"actions-{request.node.name}").write_probe()
    extra = ["hydra.launcher.array_parallelism=2"] if cluster.launcher == "slurm" else []
    app.sweep("action=null,sleep100,sleep101,sleep102", f"hydra/launcher={cluster.launcher}", LOGGING, *extra)
    ids = cluster.job_ids(app)
    cluster.wait_for(lambda: running(app) >= 3 and info(app.directory / "logs" / "1").get("exit_status") == 0)
    result = mlxp(app, "cancel", "1-2")
    assert (result.status, "there is no terminal" in result.stderr.lower()) == (2, True), result.text
    assert statuses(app)["2"] == "RUNNING"
    # The fourth waits on SLURM, by the limit
    result = mlxp(app, "cancel", "1,2,4", "-y")
    assert result.status == 0, result.text
    assert "logs/1 was over already: COMPLETE\n" in result.stdout
    assert re.search(rf"  logs/4  \w+ +job {ids[3]}  action=sleep102\n", result.stdout)
    assert result.stdout.partition("Now:\n")[2].count("CANCELLED") == 2
    assert list(statuses(app).values()) == ["COMPLETE", "CANCELLED", "RUNNING", "CANCELLED"]
    result = mlxp(app, "cancel", "--all", "-y")
    assert result.status == 0, result.text
    assert list(statuses(app).values()) == ["COMPLETE", *["CANCELLED"] * 3]
    result = mlxp(app, "cancel", "--all")
    assert (result.status, result.stdout.count("was over already")) == (0, 4)


def test_cancel_shared_jobs(scheduler: Cluster) -> None:
    """The others of the job are named."""
    app = scheduler.app(f"actions-shared-{scheduler.launcher}").write_probe()
    shared = ["hydra.launcher.runs_per_job=2", "hydra.launcher.parallel_runs=2"]
    app.sweep("action=sleep100,sleep101,sleep102", f"hydra/launcher={scheduler.launcher}", LOGGING, *shared)
    scheduler.wait_for(lambda: running(app) == 3)
    result = mlxp(app, "cancel", "1", "-y")
    assert result.status == 0, result.text
    assert re.search(r"share a job with them, and end with it:\n  logs/2  RUNNING", result.stdout)
    assert result.stdout.partition("Now:\n")[2].count("CANCELLED") == 2
    assert statuses(app)["3"] == "RUNNING"
    assert mlxp(app, "cancel", "logs/3", "-y").status == 0


def test_cancel_here(app: App) -> None:
    """A run that runs, one that waits, a plain one; a question that is answered."""
    sweep = app.start(app.python, "main.py", "-m", "action=sleep60,sleep61", "hydra/launcher=local", LOGGING,
                      "hydra.launcher.n_jobs=1")  # fmt: skip
    plain = app.start(app.python, "main.py", "action=sleep62", LOGGING)
    wait_until(lambda: running(app) == 2)
    of = {info(run)["log_id"]: info(run) for run in app.directory.glob("logs/[0-9]")}
    (own,) = [str(number) for number, record in of.items() if record["scheduler"]["name"] is None]
    first, waits = [str(number) for number, record in sorted(of.items()) if record["scheduler"]["name"] is not None]
    assert statuses(app) == {first: "RUNNING", waits: "STARTING", own: "RUNNING"}
    result = mlxp(app, "cancel", waits, "-y")
    assert (result.status, f"logs/{waits} cannot be cancelled from here: it waits in the program" in result.stderr) == (
        1,
        True,
    )
    terminal = Terminal(app, "cancel", first, own, program=str(Path(app.python).parent / "mlxp"))
    terminal.until("Cancel 2 runs? (y/n): ")
    status, text = terminal.end("n")
    assert (status, "Nothing was cancelled" in text) == (1, True)
    terminal = Terminal(app, "cancel", first, own, program=str(Path(app.python).parent / "mlxp"))
    terminal.until("Cancel 2 runs? (y/n): ")
    status, text = terminal.end("y")
    assert status == 0, text
    record = info(app.directory / "logs" / first)
    assert (record["status"], record["error"]["message"]) == ("FAILED", "ended by signal SIGTERM during the run")
    assert statuses(app)[own] == "FAILED"
    wait_until(lambda: statuses(app)[waits] == "RUNNING")  # the launcher goes on with the next one
    assert mlxp(app, "cancel", "--all", "-y").status == 0
    for process in (sweep, plain):
        process.communicate(timeout=20)
    assert (sweep.returncode, plain.returncode) == (1, -15)


def test_bad_input_to_cancel(app: App) -> None:
    app.run(LOGGING)
    os.chown(app.directory / "logs" / "1", 12345, 12345)
    for arguments, status, message in (
        ((), 2, "Name runs, or give --all"),
        (("7",), 2, "There is no run 7 in logs; it has 1 to 1"),
        (("1",), 2, "is a run of user 12345: it is not yours to change"),
    ):
        result = mlxp(app, "cancel", *arguments)
        assert (result.status, message in result.stderr) == (status, True), result.text
    assert "Example" in mlxp(app, "cancel", "--help").stdout
