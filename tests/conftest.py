"""Fixtures: an application to launch, and the real schedulers."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.clusters import Cluster, start
from tests.programs import App
from tests.projects import Project

# As at a terminal, also where the tests themselves were started in the background: programs inherit what is ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home and a place in no job and no run, whatever the tests themselves run in."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name in list(os.environ):
        if name.startswith(("SLURM_", "SBATCH_", "OAR_", "MLXP_", "HYDRA_")):
            monkeypatch.delenv(name)


@pytest.fixture
def app(tmp_path: Path) -> App:
    """The probe application, for this user."""
    directory = tmp_path / "app"
    directory.mkdir()
    return App(directory).write_probe()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """The probe application in a git repository of an odd name, for this user."""
    return Project(tmp_path / "my project" / "tutorial").create()


@pytest.fixture(
    scope="session",
    params=[
        "slurm",
        pytest.param("slurm-no-accounting", marks=[pytest.mark.once, pytest.mark.alone]),
        "oar",
    ],
)
def cluster(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """Each real scheduler in turn."""
    return start(request.param, tmp_path_factory)


@pytest.fixture(scope="session", params=["slurm", "oar"])
def scheduler(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """SLURM, then OAR: for what accounting does not touch."""
    return start(request.param, tmp_path_factory)


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A real SLURM."""
    return start("slurm", tmp_path_factory)


@pytest.fixture(scope="session")
def oar(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """A real OAR."""
    return start("oar", tmp_path_factory)


@pytest.fixture
def scheduler_app(scheduler: Cluster, request: pytest.FixtureRequest) -> App:
    """The probe application in the home of the scheduler's user."""
    return scheduler.app(request.node.name).write_probe()


@pytest.fixture
def cluster_app(cluster: Cluster, request: pytest.FixtureRequest) -> App:
    """The probe application in the home of the scheduler's user."""
    return cluster.app(request.node.name).write_probe()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the recorded scripts in tests/scripts anew")
