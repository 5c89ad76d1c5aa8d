"""Behavior on every real scheduler: SLURM with accounting, SLURM without, OAR."""

from __future__ import annotations

import json

import pytest

from tests.clusters import Cluster
from tests.programs import App, info

pytestmark = pytest.mark.hydra


def test_example_sweep(cluster: Cluster) -> None:
    app = cluster.example("example")
    states = cluster.sweep(
        app, "model=linear,mlp,deep", "optimizer=sgd,adam", "epochs=4", "hydra/callbacks=mlxp_logging"
    )
    assert states == ["COMPLETED"] * 6
    runs = [app.directory / "logs" / str(number) for number in range(1, 7)]
    assert [info(run)["status"] for run in runs] == ["COMPLETE"] * 6
    accuracies = [json.loads((run / "results.json").read_text())["test_accuracy"] for run in runs]
    assert min(accuracies) > 0.8
    assert len(set(accuracies)) > 3
    assert [info(run)["log_id"] for run in runs] == list(range(1, 7))
    assert sorted(info(run)["scheduler"]["scheduler_job_id"] for run in runs) == sorted(cluster.job_ids(app))
    assert (runs[0] / "artifacts" / "Checkpoint" / "last_ckpt.pkl").exists()


@pytest.mark.once
def test_failures_are_seen_by_all(cluster: Cluster, cluster_app: App) -> None:
    states = cluster.sweep(cluster_app, "action=raise,kill,exit3,exit0,null")
    runs = cluster_app.runs()
    assert states == ["FAILED", "FAILED", "FAILED", "COMPLETED", "COMPLETED"]
    assert [info(run)["status"] for run in runs] == ["FAILED", "FAILED", "FAILED", "COMPLETE", "COMPLETE"]
    assert [info(run)["exit_status"] for run in runs] == [1, 137, 3, 0, 0]
    assert info(runs[0])["error"] == {"type": "ValueError", "message": "told to fail"}
    assert "SIGKILL" in info(runs[1])["error"]["message"]
    assert (runs[0] / "log.stdout").read_text().strip() == "a line on stdout"
    assert "told to fail" in (runs[0] / "log.stderr").read_text()


@pytest.mark.once
def test_script_runs_again_by_hand(cluster: Cluster, cluster_app: App) -> None:
    cluster.sweep(cluster_app, "x=7", "hydra/callbacks=mlxp_logging")
    script = cluster_app.directory / "logs" / "1" / "script.sh"
    (script.parent / "seen.json").unlink()
    assert cluster_app.call("bash", str(script)).status == 0
    (seen,) = cluster_app.seen()
    assert (seen["config"]["x"], seen["job"]["id"], seen["job"]["num"]) == (7, "by-hand", 0)
    assert seen["output_dir"] == str(script.parent)
    assert info(script.parent)["scheduler"]["scheduler_job_id"] is None
    assert info(script.parent)["attempts"] == 2
    (script.parent / "seen.json").unlink()
    submit = ["sbatch"] if cluster.launcher == "slurm" else ["oarsub", "-S"]
    answer = cluster_app.call(*submit, str(script))
    job_id = answer.stdout.split("OAR_JOB_ID=")[-1].split()[-1]
    assert cluster.wait([job_id]) == ["COMPLETED"]
    (seen,) = cluster_app.seen()
    assert seen["job"]["id"] == job_id
