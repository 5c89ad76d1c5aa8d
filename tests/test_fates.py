"""All ways in which a run can end while its launch waits for it."""

from __future__ import annotations

import re

import pytest

from tests.clusters import Cluster
from tests.programs import info
from tests.support.cli import forgetting
from tests.support.cli import statuses_in_order as statuses
from tests.support.sweepers import FATES, returned, start, with_showing_sweeper

pytestmark = pytest.mark.waits


@pytest.mark.once
def test_fates_on_slurm(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    """Time limit, memory, cancelled while running, requeued: with and without accounting."""
    if cluster.launcher != "slurm":
        pytest.skip("only for SLURM")
    app = with_showing_sweeper(cluster.app(request.node.name), FATES)
    whats = ["value", "sleep", "hog", "cancelled", "requeued", "gone"]
    process = start(cluster, app, whats, "hydra.launcher.timeout_min=1", "hydra.launcher.mem_gb=1")
    cluster.wait_for(lambda: len(list(app.directory.glob("logs/*/began"))) == 6)
    ids = cluster.job_ids(app)
    cluster.cancel([ids[3]])
    cluster.output("scontrol", "requeue", ids[4])
    stdout, stderr = process.communicate(timeout=900)
    results = returned(stdout, whats)
    assert results["value"] == "COMPLETED 7", stderr
    assert (
        f"(job {ids[1]}) did not complete: TIMEOUT: time limit reached; increase hydra.launcher.timeout_min"
        in results["sleep"]
    )
    assert re.search(
        r"OUT_OF_MEMORY|FAILED.* and no exit was recorded: the run never started, or was killed", results["hog"]
    )
    assert f"(job {ids[3]}) did not complete: CANCELLED: its job was cancelled" in results["cancelled"]
    assert results["requeued"] == "COMPLETED 7"
    assert info(app.directory / "logs" / "5")["status"] == "COMPLETE"
    # Later commands report the same, also when SLURM has forgotten the jobs whose states were observed
    for environment in (None, forgetting(app)):
        shown = statuses(app, environment)
        assert shown[:2] + shown[3:] == ["COMPLETE", "TIMEOUT", "CANCELLED", "COMPLETE", "TIMEOUT"]
        assert shown[2] in ("FAILED", "OUT_OF_MEMORY")
    for record in app.directory.rglob("job-states.jsonl"):
        record.unlink()
    shown = statuses(app, forgetting(app))
    assert shown[:2] == ["COMPLETE", "FAILED"]  # its script recorded the signal
    assert shown[2] in ("UNKNOWN", "FAILED")


@pytest.mark.once
def test_fates_on_oar(oar: Cluster) -> None:
    app = with_showing_sweeper(oar.app("oar-fates"), FATES)
    whats = ["value", "sleep", "cancelled", "resubmitted"]
    process = start(oar, app, whats, "hydra.launcher.timeout_min=2", "hydra.launcher.types=[idempotent]")
    oar.wait_for(lambda: len(list(app.directory.glob("logs/*/began"))) == 4)
    ids = oar.job_ids(app)
    oar.cancel([ids[2]])
    stdout, stderr = process.communicate(timeout=900)
    results = returned(stdout, whats)
    assert results["value"] == "COMPLETED 7", stderr
    assert f"(job {ids[1]}) did not complete: TIMEOUT" in results["sleep"]
    assert f"(job {ids[2]}) did not complete: CANCELLED" in results["cancelled"]
    assert results["resubmitted"] == "COMPLETED 7"
    again = info(app.directory / "logs" / "4")
    assert again["status"] == "COMPLETE"
    assert again["scheduler"]["scheduler_job_id"] not in ids
    assert statuses(app) == ["COMPLETE", "TIMEOUT", "CANCELLED", "COMPLETE"]
