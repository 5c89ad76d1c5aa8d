"""Fixtures: an application to launch, and the real schedulers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clusters import Cluster, start
from tests.programs import App

REPOSITORY = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def _isolated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home and a place in no job and no run, whatever the tests themselves run in."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in list(os.environ):
        if name.startswith(("SLURM_", "SBATCH_", "OAR_", "MLXP_", "HYDRA_")):
            monkeypatch.delenv(name)


@pytest.fixture
def app(tmp_path: Path) -> App:
    """The probe application, for this user."""
    directory = tmp_path / "app"
    directory.mkdir()
    return App(directory).write_probe()


@pytest.fixture(scope="session", params=["slurm", "slurm-no-accounting", "oar"])
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Each real scheduler in turn."""
    yield start(request.param, tmp_path_factory)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A real SLURM."""
    return start("slurm", tmp_path_factory)


@pytest.fixture(scope="session")
def oar(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A real OAR."""
    return start("oar", tmp_path_factory)


@pytest.fixture
def cluster_app(cluster: Cluster, request: pytest.FixtureRequest) -> App:
    """The probe application in the home of the scheduler's user."""
    return cluster.app(request.node.name).write_probe()
