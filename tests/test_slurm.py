"""Behavior that only SLURM has."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time

import pytest

from tests.clusters import Cluster
from tests.programs import PROBE, App, info
from tests.support.start_forms import same_as_basic


def show(job_id: str) -> dict[str, str]:
    """Return what SLURM knows about a job."""
    text = subprocess.run(["scontrol", "show", "job", job_id], check=True, capture_output=True, text=True).stdout
    return dict(re.findall(r"(\S+?)=(\S*)", text))


def start_sweep(app: App, *arguments: str) -> subprocess.Popen[str]:
    """Start a sweep and do not wait for it."""
    options = ["hydra/launcher=slurm", "hydra/callbacks=mlxp_logging"]
    return app.start(app.python, "-u", "main.py", "-m", *arguments, *options)


@pytest.mark.once
def test_options_reach_slurm(slurm: Cluster) -> None:
    app = slurm.app("slurm-options").write_probe()
    options = {
        "name": "my-sweep",
        "partition": "short",
        "timeout_min": 2,
        "nodes": 1,
        "tasks_per_node": 1,
        "cpus_per_task": 3,
        "mem_gb": 1.5,
        "comment": "'a comment'",
        "+additional_parameters.nice": 5,
        "option_cmd": "['--begin=now']",
    }
    arguments = [
        f"{'+' * key.startswith('+')}hydra.launcher.{key.lstrip('+')}={value}" for key, value in options.items()
    ]
    assert slurm.sweep(app, *arguments) == ["COMPLETED"]
    job = show(slurm.job_ids(app)[0])
    expected = {
        "JobName": "my-sweep",
        "Partition": "short",
        "TimeLimit": "00:02:00",
        "NumNodes": "1",
        "CPUs/Task": "3",
        "MinMemoryNode": "1.50G",
        "Comment": "a",
        "Nice": "5",
        "StdOut": str(app.runs()[0] / "log.stdout"),
    }
    job["MinMemoryNode"] = job["MinMemoryNode"].replace("1536M", "1.50G")
    assert {key: job[key] for key in expected} == expected


def test_tasks_are_started_by_srun(slurm: Cluster) -> None:
    """As with submitit, each task runs the application; only the first keeps the record."""
    app = slurm.app("slurm-tasks").write_probe()
    states = slurm.sweep(app, "hydra.launcher.tasks_per_node=2", "hydra.launcher.cpus_per_task=2")
    (run,) = app.runs()
    assert states == ["COMPLETED"]
    assert (run / "log.stdout").read_text().count("a line on stdout") == 2
    assert info(run)["status"] == "COMPLETE"


@pytest.mark.once
def test_one_failing_task_fails_the_run(slurm: Cluster) -> None:
    app = slurm.app("slurm-task-fails")
    app.write(
        "main.py",
        PROBE.replace('action = config.get("action")', 'action = config.action[int(os.environ["SLURM_PROCID"])]'),
    )
    app.write("conf/config.yaml", "x: 1\naction: [null, exit3]\n")
    assert slurm.sweep(app, "hydra.launcher.tasks_per_node=2") == ["FAILED"]
    (run,) = app.runs()
    assert (info(run)["status"], info(run)["exit_status"]) == ("FAILED", 3)


@pytest.mark.once
def test_a_cancelled_run_says_so(slurm: Cluster) -> None:
    app = slurm.app("slurm-cancel").write_probe()
    app.sweep("hydra/launcher=slurm", "action=sleep600")
    (job_id,) = slurm.job_ids(app)
    end = time.monotonic() + 120
    while not app.runs():
        assert time.monotonic() < end
        time.sleep(0.2)
    subprocess.run(["scancel", job_id], check=True)
    assert slurm.wait([job_id]) == ["CANCELLED"]
    while info(app.runs()[0])["status"] == "RUNNING":
        assert time.monotonic() < end
        time.sleep(0.2)
    assert info(app.runs()[0])["error"]["message"] == "ended by signal SIGTERM during the run"


@pytest.mark.once
def test_from_inside_a_job(slurm: Cluster) -> None:
    """A job on the cluster may launch a sweep, and the runs do not inherit the limits of that job."""
    app = slurm.app("slurm-inside").write_probe()
    app.write(
        "outer.sh",
        f"#!/bin/sh\ncd {app.directory}\n{app.python} main.py -m x=1,2 hydra/launcher=slurm hydra.launcher.mem_gb=1\n"
        "env | grep ^SLURM_MEM > outer.txt\n",
    )
    answer = app.call("sbatch", "--mem-per-cpu=500", "--wait", f"--output={app.directory}/outer.log", "outer.sh")
    assert answer.status == 0, (app.directory / "outer.log").read_text()
    assert "SLURM_MEM_PER_CPU=500" in (app.directory / "outer.txt").read_text()
    assert slurm.wait(slurm.job_ids(app)) == ["COMPLETED"] * 2


@pytest.mark.once
def test_a_request_that_cannot_be_met_waits(slurm: Cluster) -> None:
    """By default SLURM accepts the job, and squeue shows the reason why it waits."""
    app = slurm.app("slurm-waits").write_probe()
    app.sweep("hydra/launcher=slurm", "hydra.launcher.nodes=9")
    (job_id,) = slurm.job_ids(app)
    try:
        slurm.wait_for(lambda: show(job_id)["Reason"] in ("PartitionConfig", "PartitionNodeLimit"))
        (script,) = app.directory.glob("multirun/*/*/0/script.sh")
        assert info(script.parent)["status"] == "STARTING"
    finally:
        subprocess.run(["scancel", job_id], check=True)


def test_console_script(slurm: Cluster) -> None:
    """A console script is a file in bin/ that imports the application."""
    app = slurm.app("slurm-console-script")
    app.write("src/my_app/main.py", PROBE)
    app.write("src/my_app/conf/config.yaml", "x: 1\naction: null\n")
    app.write("src/my_app/__init__.py", "")
    app.write("src/my_app/conf/__init__.py", "")
    script = app.write("bin/my-app", f"#!{app.python}\nimport sys\nfrom my_app.main import main\nsys.exit(main())\n")
    script.chmod(0o755)
    env = {"PYTHONPATH": str(app.directory / "src"), "PATH": f"{script.parent}:/usr/bin:/bin"}
    result = app.call("my-app", "-m", "x=1,2", "hydra/launcher=slurm", env=env)
    assert result.status == 0, result.text
    assert slurm.wait(slurm.job_ids(app)) == ["COMPLETED"] * 2
    launched = app.seen()
    assert launched[0]["main"] == [str(script), None]
    same_as_basic(app, launched, {"program": ("bin/my-app",), "env": env})


def test_a_single_run_shows_its_script(slurm: Cluster) -> None:
    app = slurm.app("slurm-single").write_probe()
    result = app.sweep("x=1", "hydra/launcher=slurm", "hydra/callbacks=mlxp_logging")
    script = (app.directory / "logs" / "1" / "script.sh").read_text()
    (job_id,) = slurm.job_ids(app)
    assert result.stdout.startswith(f"{script}\nSubmitted batch job {job_id}\n\nJob launched!\n")
    result = app.sweep("x=1,2", "hydra/launcher=slurm", "hydra/callbacks=mlxp_logging")
    second, third = slurm.job_ids(app)[1:]
    assert f"  logs/2  job {second}  x=1\n  logs/3  job {third}  x=2\n" in result.stdout
    assert "squeue --me" in result.stdout
    slurm.wait(slurm.job_ids(app))


@pytest.mark.once
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_interrupted_submission(slurm: Cluster, number: signal.Signals) -> None:
    """Submitted runs are recorded, the others can be resumed, and the message says both."""
    app = slurm.app("slurm-interrupted").write_probe()
    process = start_sweep(app, "x=range(60)", "hydra.launcher.max_array_size=1")
    end = time.monotonic() + 120
    while len(slurm.job_ids(app)) < 3:
        assert time.monotonic() < end
        time.sleep(0.01)
    os.killpg(process.pid, number)
    _, stderr = process.communicate(timeout=900)
    job_ids = slurm.job_ids(app)
    assert process.returncode == 1
    assert 3 <= len(job_ids) < 60
    submitted = f"Interrupted.\n{len(job_ids)} of 60 runs submitted. These jobs are unaffected.\n"
    rest = f"logs/{len(job_ids) + 1}-60" if len(job_ids) < 59 else "logs/60"
    assert f"{submitted}Not submitted: {rest}. To submit them: mlxp resume logs/sweeps/" in stderr
    assert "Traceback" not in stderr
    assert set(slurm.wait(job_ids)) == {"COMPLETED"}
    assert len(app.runs()) == len(job_ids)


# The probe, interrupted when its launcher prints a line that begins with WORD
INTERRUPTED = """
from mlxp_core import console

def say(text, stream=None):
    print(text, flush=True)
    if text.startswith("WORD"):
        raise KeyboardInterrupt

console.say, console.SILENT = say, 0
"""


@pytest.mark.once
@pytest.mark.parametrize("word", ["Preparing", "Submitting"])
def test_interrupted_between(slurm: Cluster, word: str) -> None:
    """An interrupt just before the files are written, and one just before the submission."""
    app = slurm.app("slurm-interrupted-between").write_probe()
    app.write("main.py", INTERRUPTED.replace("WORD", word) + PROBE)
    result = app.run("-m", "x=1,2", "hydra/launcher=slurm", "hydra/callbacks=mlxp_logging")
    assert f"{word} 2 runs" in result.stdout
    assert "Interrupted. Nothing was submitted.\n" in result.stderr
    assert [path.name for path in app.directory.glob("logs/*") if path.name.isdecimal()] == []
    assert list(app.directory.glob("logs/sweeps/*/launch-*")) == []


@pytest.mark.once
@pytest.mark.parametrize("word", ["See the", "Submitting"])
def test_interrupted_later(slurm: Cluster, word: str) -> None:
    """An interrupt after a submission, or in the second batch: the message counts all runs of the command."""
    app = slurm.app("slurm-interrupted-later").write_probe()
    edited = INTERRUPTED.replace("text.startswith", "text.strip().startswith")
    app.write("main.py", edited.replace("WORD", word) + PROBE)
    result = app.run("-m", "x=1,2", "hydra/launcher=slurm", "hydra.sweeper.max_batch_size=1")
    assert result.status == 1
    assert "Nothing was submitted" not in result.stderr
    assert len(slurm.job_ids(app)) == 1
    assert "Interrupted. 1 run submitted. These jobs are unaffected.\n" in result.stderr


@pytest.mark.once
def test_interrupted_preparation(slurm: Cluster) -> None:
    app = slurm.app("slurm-interrupted-early").write_probe()
    process = start_sweep(app, "x=range(1100)")
    assert process.stdout is not None
    assert process.stdout.readline() == "Preparing 1100 runs ...\n"
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=900)
    assert "Interrupted. Nothing was submitted.\n" in stderr
    assert "Traceback" not in stderr
    assert [path.name for path in app.directory.glob("logs/*") if path.name.isdecimal()] == []
