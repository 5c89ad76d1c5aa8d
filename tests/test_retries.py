"""Requests that a scheduler refuses for a while, or whose answer is lost: retried, and never submitted twice."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import Cluster, oar_service
from tests.clusters.own_slurm import OwnSlurm, accounts_of, write_config
from tests.programs import LOGGING, App
from tests.support.killed import install, ran, resume, wait_for_all
from tests.support.processes import read_until


def sweep(app: App, launcher: str, x: str, *options: str) -> subprocess.Popen[str]:
    """Start a sweep and do not wait for it."""
    return app.start(app.python, "-u", "main.py", *sweep_words(launcher, x, *options))


def sweep_words(launcher: str, x: str, *options: str) -> list[str]:
    return ["-m", "name=a", f"x={x}", f"hydra/launcher={launcher}", LOGGING, *options]


@pytest.mark.once
@pytest.mark.parametrize("x", ["0", "0,1,2"])
def test_the_controller_restarts(own_slurm: OwnSlurm, x: str) -> None:
    app = install(own_slurm.app("retry-restart"))
    with own_slurm.without_controller():
        process = sweep(app, "slurm", x, "hydra.launcher.submit_retry_min=2")
        said = read_until(process, "Trying again in")
    stdout, stderr = process.communicate(timeout=900)
    assert process.returncode == 0, stderr
    assert "Unable to contact slurm controller" in said
    assert re.search(r"\n  Trying again in \d+ s, for at most 2 min\.\n", said + stdout)
    wait_for_all(own_slurm, app)
    assert ran(app) == {f"a-{value}": 1 for value in x.split(",")}


@pytest.mark.once
@pytest.mark.parametrize("x", ["0", "0,1,2"])
def test_the_controller_stays_away(own_slurm: OwnSlurm, x: str) -> None:
    app = install(own_slurm.app("retry-in-vain"))
    with own_slurm.without_controller():
        process = sweep(app, "slurm", x, "hydra.launcher.submit_retry_min=0.05")
        _, stderr = process.communicate(timeout=900)
    assert process.returncode == 1
    assert "Unable to contact slurm controller" in stderr
    (directory,) = app.directory.glob("logs/sweeps/*")
    command = f"mlxp resume {directory.relative_to(app.directory)}"
    runs = "logs/1" if x == "0" else "logs/1-3"
    assert f"\nNot submitted: {runs}. To submit them: {command}\n" in stderr
    result = resume(app, *command.split()[2:])
    assert result.status == 0, result.text
    wait_for_all(own_slurm, app)
    assert ran(app) == {f"a-{value}": 1 for value in x.split(",")}


@pytest.mark.once
def test_the_controller_is_frozen(own_slurm: OwnSlurm) -> None:
    """sbatch gives up, but the controller reads its request when it continues."""
    app = install(own_slurm.app("retry-frozen"))
    with own_slurm.frozen():
        process = sweep(app, "slurm", "0", "hydra.launcher.submit_retry_min=2")
        said = read_until(process, "Trying again in")
    assert "SLURM may have accepted the request." in said
    stdout, stderr = process.communicate(timeout=900)
    assert process.returncode == 0, stderr
    assert "SLURM had accepted it: job " in stdout
    wait_for_all(own_slurm, app)
    assert ran(app) == {"a-0": 1}


@pytest.mark.alone
@pytest.mark.once
def test_oar_does_not_answer(oar: Cluster) -> None:
    """OAR's database is down: oarsub waits for it, and `mlxp resume` waits for oarsub."""
    app = install(oar.app("retry-hangs"))
    with oar_service("postgres"):
        process = sweep(app, "oar", "0,1,2", "hydra.launcher.max_array_size=2")
        read_until(process, "OAR has not answered for 1")
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        resumed = app.start(str(Path(app.python).with_name("mlxp")), "resume")
        read_until(resumed, "is being submitted by another process; waiting for it ...\n")
    stdout, stderr = resumed.communicate(timeout=900)
    assert resumed.returncode == 0, stderr
    assert re.search("launch-1: submitting logs/3 to OAR:", stdout)
    wait_for_all(oar, app)
    assert ran(app) == {f"a-{x}": 1 for x in range(3)}


@pytest.mark.once
@pytest.mark.parametrize("step", ["open:answer.txt", "subprocess.Popen:sbatch", "open:submissions.jsonl"])
def test_the_disk_is_full_half_way(slurm: Cluster, step: str) -> None:
    """No write succeeds from this step of the launch on."""
    app = install(slurm.app("retry-full"))
    fill = "file = os.open('logs/filler', os.O_CREAT | os.O_WRONLY)\n    while os.write(file, b'x'): pass"
    text = (app.directory / "main.py").read_text().replace("                kill(int(delay))", "                fill()")
    app.write(
        "main.py", text.replace("def kill(", f"def fill():\n  try:\n    {fill}\n  except OSError: pass\n\n\ndef kill(")
    )
    logs = app.directory / "logs"
    logs.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k,mode=777", "tmpfs", str(logs)], check=True)
    try:
        words = ["-m", "name=a", "x=0,1,2", "hydra/launcher=slurm", "hydra.launcher.max_array_size=2", LOGGING]
        result = app.run(*words, env={"LAUNCHES": f"a,{step}"})
        assert result.status == 1
        assert "No space left on device" in result.stderr
        assert "Traceback" not in result.stderr
        (logs / "filler").unlink()
        result = resume(app)
        wait_for_all(slurm, app)
        assert ran(app) == {f"a-{x}": 1 for x in range(3)}
    finally:
        subprocess.run(["umount", "-l", str(logs)], check=True)


@pytest.fixture
def limited(slurm: Cluster) -> Iterator[App]:
    """Return the application for another controller, which has no nodes and takes two jobs of a user at a time."""
    app = install(slurm.app("retry-limit"))
    home = app.directory / "controller"
    home.mkdir()
    name = f"limited{os.getpid()}"
    config = write_config(home, ClusterName=name, AccountingStorageEnforce="limits")
    limited = OwnSlurm(slurm.launcher, slurm.user, slurm.python, {"SLURM_CONF": str(config)}, home)
    app.environment.update(limited.environment)
    account = (f"account={name}", f"cluster={name}")
    with accounts_of(name):
        for words in (
            ("add", "account", name, f"cluster={name}"),
            ("add", "user", slurm.user, *account),
            ("modify", "user", slurm.user, "where", *account, "set", "MaxSubmitJobs=2"),
            ("add", "qos", "limited"),
            ("modify", "qos", "limited", "set", "Flags=DenyOnLimit", "MaxTRESPerJob=cpu=1"),
            ("modify", "user", slurm.user, "where", *account, "set", "qos+=limited"),
        ):
            subprocess.run(["sacctmgr", "-iQ", *words], check=True, capture_output=True)
        daemon = limited.start_controller()
        try:
            yield app
        finally:
            app.call("scancel", f"--user={slurm.user}")
            time.sleep(1)  # accounting must see it before the cluster can be deleted
            daemon.terminate()
            daemon.wait(timeout=180)
            subprocess.run(["sacctmgr", "-iQ", "delete", "qos", "limited"], capture_output=True)


@pytest.mark.once
def test_a_limit_of_queued_jobs(limited: App) -> None:
    """The launch waits for a limit of queued jobs, but not for one that a job of this size can never meet."""
    result = limited.run(*sweep_words("slurm", "0", "hydra.launcher.qos=limited", "hydra.launcher.cpus_per_task=2"))
    assert "QOSMaxCpuPerJobLimit" in result.stderr
    assert "Nothing was submitted." in result.stderr
    process = sweep(limited, "slurm", "0,1,2", "hydra.launcher.max_array_size=1")
    said = read_until(process, "Trying again in")
    assert "AssocMaxSubmitJobLimit" in said
    first = re.findall(r"  job (\d+)", said)[0]
    assert limited.call("scancel", first).status == 0
    _, stderr = process.communicate(timeout=900)
    assert process.returncode == 0, stderr
    assert limited.call("squeue", "-h").stdout.count("\n") == 2
