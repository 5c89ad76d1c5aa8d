"""Behavior that only OAR has."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Any

import pytest

from tests.clusters import Cluster
from tests.programs import info


def show(job_id: str) -> dict[str, Any]:
    """Return what OAR knows about a job."""
    text = subprocess.run(["oarstat", "-fJ", "-j", job_id], check=True, capture_output=True, text=True).stdout
    job: dict[str, Any] = json.loads(text)[job_id]
    return job


@pytest.mark.once
def test_options_reach_oar(oar: Cluster) -> None:
    app = oar.app("oar-options").write_probe()
    options = {
        "name": "my-sweep",
        "queue": "besteffort",
        "project": "lab",
        "types": "[besteffort]",
        "properties": "\"core > '2' AND cpu = '1'\"",
        "timeout_min": 2,
        "nodes": 1,
        "cpus_per_task": 3,
        "gpus_per_node": 1,
        "mem_gb": 4,
        "memory_property": "mem",
        "option_cmd": "['-t idempotent']",
    }
    assert oar.sweep(app, *(f"hydra.launcher.{key}={value}" for key, value in options.items())) == ["COMPLETED"]
    job = show(oar.job_ids(app)[0])
    assert job["name"] == "my-sweep"
    assert job["queue"] == "besteffort"
    assert job["project"] == "lab"
    assert {"besteffort", "idempotent"} <= set(job["types"])
    assert job["walltime"] == 120
    assert "core > '2' AND cpu = '1') AND mem >= 4096" in job["properties"]
    assert len(job["assigned_resources"]) == 3
    assert job["stdout_file"] == str(app.runs()[0] / "log.stdout")


@pytest.mark.once
def test_walltime_as_the_only_resource(oar: Cluster) -> None:
    app = oar.app("oar-walltime").write_probe()
    assert oar.sweep(app, "hydra.launcher.timeout_min=3") == ["COMPLETED"]
    assert show(oar.job_ids(app)[0])["walltime"] == 180


@pytest.mark.once
def test_from_inside_a_job(oar: Cluster) -> None:
    app = oar.app("oar-inside").write_probe()
    outer = app.write(
        "outer.sh",
        f"#!/bin/bash\n#OAR -n outer\n#OAR -O {app.directory}/outer.log\n#OAR -E {app.directory}/outer.log\n"
        f"cd {app.directory}\n{app.python} main.py -m x=1,2 hydra/launcher=oar\n",
    )
    outer.chmod(0o755)
    answer = app.call("oarsub", "-S", str(outer))
    job_id = answer.stdout.split("OAR_JOB_ID=")[-1].split()[0]
    assert oar.wait([job_id]) == ["COMPLETED"], (app.directory / "outer.log").read_text()
    job_ids = oar.job_ids(app)
    assert oar.wait(job_ids) == ["COMPLETED"] * 2
    assert [run["job"]["id"] for run in app.seen()] == job_ids


def test_a_single_run_shows_its_script(oar: Cluster) -> None:
    app = oar.app("oar-single").write_probe()
    result = app.sweep("x=1", "hydra/launcher=oar", "hydra/callbacks=mlxp_logging")
    script = (app.directory / "logs" / "1" / "script.sh").read_text()
    (job_id,) = oar.job_ids(app)
    assert result.stdout.startswith(f"{script}\n")
    assert f"OAR_JOB_ID={job_id}\n\nJob launched!\n" in result.stdout
    assert "oarstat -u" in result.stdout
    assert oar.wait([job_id]) == ["COMPLETED"]
    assert info(app.directory / "logs" / "1")["scheduler"] == {"name": "OARScheduler", "scheduler_job_id": job_id}


@pytest.mark.once
def test_a_checkpoint_signal_does_not_end_the_record(oar: Cluster) -> None:
    """oardel -c and --checkpoint signal the script's shell, which continues to wait for the application."""
    app = oar.app("oar-checkpoint").write_probe()
    app.sweep("hydra/launcher=oar", "action=sleep40")
    (job_id,) = oar.job_ids(app)
    end = time.monotonic() + 120
    while not app.runs():
        assert time.monotonic() < end
        time.sleep(0.2)
    subprocess.run(["oardel", "-c", job_id], check=True, capture_output=True)
    assert oar.wait([job_id]) == ["COMPLETED"]
    assert (info(app.runs()[0])["status"], info(app.runs()[0])["exit_status"]) == ("COMPLETE", 0)
