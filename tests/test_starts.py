"""Starts of runs: the identity of each, the lock of a run's process, and which process may change a record."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlxp_core.jobs.record_end import record_exit_status
from mlxp_core.runs.info import ended, read_info, started, write_info
from mlxp_core.runs.start_lock import REFUSED, holds_lock, is_locked, lock_run, release_lock
from mlxp_core.runs.starts import current_start, is_alive_here, new_start, new_start_id, this_process, update_record
from tests.clusters import Cluster
from tests.programs import LOGGING, App, info
from tests.support.cli import listed, mlxp

HOLD = """
import sys
from pathlib import Path
from mlxp_core.runs.start_lock import lock_run
print(lock_run(Path(sys.argv[1]), sys.argv[2]), flush=True)
sys.stdin.read()
"""


def new_record(path: Path, start: str, **changes: Any) -> dict[str, Any]:
    """Write the record of a run that runs in this process."""
    info = {"status": "STARTING", "scheduler": {"name": None, "scheduler_job_id": None}, "start_time": None}
    write_info(path, {**started(info, "/", new_start(start, None)), **changes})
    return read_info(path)


@pytest.mark.once
def test_a_process_is_recognized_by_its_start() -> None:
    mine = this_process()
    assert is_alive_here(mine) is True
    assert is_alive_here({**mine, "process_start": mine["process_start"] - 1}) is False  # its id was used before
    assert is_alive_here({**mine, "boot_id": "another"}) is False
    assert is_alive_here({**mine, "process_id": 2**22 + 1}) is False
    assert is_alive_here({**mine, "hostname": "another"}) is None
    assert is_alive_here({}) is None


@pytest.mark.once
def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["sleep", "60"])
    ticks = int(Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19])
    identity = {**this_process(), "process_id": process.pid, "process_start": ticks}
    assert is_alive_here(identity) is True
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_alive_here(identity) is False
    process.wait()


@pytest.mark.once
def test_the_lock_of_a_run(tmp_path: Path) -> None:
    """Another process of the same start sees whose it is; it ends with the process, and looking takes nothing."""
    lock = tmp_path / "metadata" / ".lock"
    assert not is_locked(lock)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(lock), "1-1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "1-1\n"
    assert is_locked(lock)
    assert lock_run(lock, "1-1") == "1-1"
    assert not holds_lock(lock)
    assert lock_run(lock, "2-2") == "1-1"
    holder.kill()
    holder.communicate()
    assert not is_locked(lock)
    assert lock_run(lock, "2-2") == "2-2"
    assert holds_lock(lock)
    other = subprocess.run([sys.executable, "-c", HOLD, str(lock), "3"], input="", capture_output=True, text=True)
    assert other.stdout == "2-2\n"
    release_lock(lock)
    assert not is_locked(lock)


@pytest.mark.once
def test_only_the_current_start_changes_a_record(tmp_path: Path) -> None:
    path = tmp_path / "info.yaml"
    new_record(path, "1-1")
    second = started(read_info(path), "/", new_start("2-2", "7"))
    write_info(path, second)
    assert not update_record(path, "1-1", lambda info: ended(info, None))
    record_exit_status(path, 1, "1-1")
    assert read_info(path) == second
    assert update_record(path, "2-2", lambda info: ended(info, None))
    record = read_info(path)
    assert [start["id"] for start in record["starts"]] == ["1-1", "2-2"]
    assert record["starts"][1]["end_time"] == record["end_time"]
    assert (current_start(record) or {})["job_id"] == "7"
    record_exit_status(path, 0, "2-2")
    assert read_info(path)["exit_status"] == 0


@pytest.mark.once
def test_a_start_without_an_application(tmp_path: Path) -> None:
    """It does not change the record of a completed or active run, but fails one that waits for it."""
    path = tmp_path / "info.yaml"
    complete = new_record(path, "1-1", status="COMPLETE", exit_status=0)
    record_exit_status(path, 1, "2-2")
    assert read_info(path) == complete
    running = new_record(path, "1-1")
    start = new_start_id()
    lock_run(tmp_path / ".lock", start)
    record_exit_status(path, 1, "2-2")
    record_exit_status(path, REFUSED, "2-2")
    assert read_info(path) == running
    release_lock(tmp_path / ".lock")
    record_exit_status(path, 1, "2-2")
    assert read_info(path) == running  # its process is alive
    ended_here = {**running["starts"][-1], "process_id": 2**22 + 1}
    write_info(path, {**running, "starts": [ended_here]})
    record_exit_status(path, 1, "2-2", "7")
    record = read_info(path)
    assert (record["status"], record["exit_status"]) == ("FAILED", 1)
    assert record["error"]["message"] == "exit status 1 before the run started (see log.stderr)"
    assert [start["job_id"] for start in record["starts"]] == [None, "7"]
    path.unlink()
    record_exit_status(path, 1, "2-2")
    assert not path.exists()


@pytest.mark.once
def test_a_second_start_is_refused(app: App) -> None:
    """The metrics and the record of the first are not touched, and its end is its own."""
    app.write_probe()
    app.run(LOGGING)
    process = app.start(app.python, "main.py", "-m", "hydra/launcher=local", LOGGING, "action=sleep600")
    run = app.directory / "logs" / "2"
    app.wait_for(lambda: (run / "metadata" / "info.yaml").exists() and info(run).get("status") == "RUNNING")
    record = (run / "metadata" / "info.yaml").read_bytes()
    again = app.call("bash", str(run / "script.sh"))
    assert again.status == REFUSED
    assert f"mlxp: The run in {run} has not ended: " in again.stderr
    assert (run / "metadata" / "info.yaml").read_bytes() == record
    assert listed(app)["2"][0] == "RUNNING"
    process.kill()
    process.communicate()
    mlxp(app, "cancel", "2", "-y")
    app.wait_for(lambda: listed(app)["2"][0] == "FAILED")
    assert len(info(run)["starts"]) == 1


@pytest.mark.once
def test_a_plain_run_in_the_directory_of_a_launch(app: App) -> None:
    app.write_probe()
    app.sweep("hydra/launcher=local", "hydra.launcher.dry_run=true", LOGGING)
    assert listed(app) == {"1": ("NOT_SUBMITTED", "it was a dry run")}
    assert app.run(LOGGING, "hydra.callbacks.mlxp_logging.forced_log_id=1").status == 0
    assert listed(app)["1"][0] == "COMPLETE"
    assert "launch" not in info(app.directory / "logs" / "1")


@pytest.mark.once
def test_scripts_submitted_by_hand(cluster: Cluster) -> None:
    """What is queued or runs by hand is found, whatever the record says, and is cancelled and waited for."""
    app = cluster.app("starts-by-hand").write_probe()
    app.sweep(f"hydra/launcher={cluster.launcher}", LOGGING, "action=null,sleep300")
    cluster.wait_for_runs(app, 2)
    cluster.wait_for(lambda: listed(app)["1"][0] == "COMPLETE")
    cluster.cancel(cluster.job_ids(app)[1:])
    cluster.wait_for(lambda: listed(app)["2"][0] == "CANCELLED")
    complete, cancelled = (app.directory / "logs" / name for name in "12")
    (app.directory / "by-hand").symlink_to(app.directory / "logs")
    held = cluster.submit(app, "by-hand/1/script.sh", hold=True)
    running = cluster.submit(app, "logs/2/script.sh")
    cluster.wait_for(lambda: len(info(cancelled)["starts"]) == 2)
    assert (listed(app)["1"][0], listed(app)["2"][0]) == ("PENDING", "RUNNING")
    assert info(cancelled)["starts"][1]["job_id"] == running
    refused = mlxp(app, "resubmit", "1-2", "-y")
    assert "No run was submitted" in refused.text or refused.status == 1
    record = (complete / "metadata" / "info.yaml").read_bytes()
    cancel = mlxp(app, "cancel", "1-2", "-y")
    assert cancel.status == 0, cancel.text
    assert (complete / "metadata" / "info.yaml").read_bytes() == record
    cluster.wait_for(lambda: listed(app)["2"][0] in ("CANCELLED", "FAILED"))
    assert listed(app)["1"] == ("COMPLETE", "")
    assert held != running
