"""Fixtures: an application to launch, and the real schedulers."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from xdist.scheduler import LoadScopeScheduling

from tests.clusters import Cluster, start, using_oar
from tests.clusters.own_slurm import OwnSlurm, accounts_of
from tests.clusters.own_slurm import own_slurm as new_slurm
from tests.programs import App
from tests.projects import Project

# A busy machine is no failure; `pytest --hypothesis-profile=nightly` tries more
settings.register_profile("tests", settings.default, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("nightly", deadline=None, max_examples=10_000)
settings.load_profile("tests")
# Else each start compiles this package again
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# As at a terminal, also where the tests themselves were started in the background: programs inherit what is ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(autouse=True)
def _isolated(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home and a place in no job and no run, whatever the tests themselves run in."""
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    for name in list(os.environ):
        # xdist sets COLUMNS, which counts more than the size of a terminal
        if name.startswith(("SLURM_", "SBATCH_", "OAR_", "MLXP_", "HYDRA_")) or name in ("COLUMNS", "LINES"):
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


@pytest.fixture(scope="session", params=["slurm", pytest.param("slurm-no-accounting", marks=pytest.mark.once), "oar"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    """Each real scheduler in turn."""
    if request.param == "slurm-no-accounting":
        slurm: Cluster = request.getfixturevalue("slurm_without_accounts")
        return slurm
    return start(request.param)


@pytest.fixture(scope="session", params=["slurm", "oar"])
def scheduler(request: pytest.FixtureRequest) -> Cluster:
    """SLURM, then OAR: for what accounting does not touch."""
    return start(request.param)


@pytest.fixture(scope="session")
def slurm() -> Cluster:
    """A real SLURM."""
    return start("slurm")


@pytest.fixture(scope="session")
def own_slurm() -> Iterator[OwnSlurm]:
    """A SLURM that no other process uses, whose controller a test may stop."""
    name = f"own{os.getpid()}"
    start("slurm")  # and the accounts
    with accounts_of(name), new_slurm(ClusterName=name) as slurm:
        yield slurm


@pytest.fixture(scope="session")
def slurm_without_accounts() -> Iterator[OwnSlurm]:
    """A SLURM as in many small labs: its sacct fails."""
    with new_slurm(AccountingStorageType="accounting_storage/none") as slurm:
        yield slurm


@pytest.fixture(scope="session")
def oar() -> Cluster:
    """A real OAR."""
    return start("oar")


def uses(item: pytest.Item, *schedulers: str) -> bool:
    """Whether a test has one of these schedulers."""
    names = {*getattr(item, "fixturenames", ())} - {"cluster", "scheduler"}
    parameters = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    names |= {parameters.get("cluster"), parameters.get("scheduler")}
    return not names.isdisjoint(schedulers)


@pytest.fixture(autouse=True)
def _oar_is_up(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test marked `alone` stops OAR: tests in other processes wait for it."""
    with using_oar(alone="alone" in request.keywords) if uses(request.node, "oar") else nullcontext():
        yield


@pytest.fixture
def scheduler_app(scheduler: Cluster, request: pytest.FixtureRequest) -> App:
    """The probe application in the home of the scheduler's user."""
    return scheduler.app(request.node.name).write_probe()


@pytest.fixture
def cluster_app(cluster: Cluster, request: pytest.FixtureRequest) -> App:
    """The probe application in the home of the scheduler's user."""
    return cluster.app(request.node.name).write_probe()


_SCHEDULERS = ("slurm", "oar", "own_slurm", "slurm_without_accounts", "slurm-no-accounting")
# Modules whose tests take a second and more each: `make quick` runs the first of each, and none of the slowest
_SLOWEST = {"test_cli_actions", "test_composition", "test_hydra_suites", "test_packaging", "test_values"}
_SLOW = {
    *("test_callbacks", "test_clean", "test_dialogue", "test_docs", "test_functions"),
    *(
        "test_local",
        "test_metrics",
        "test_ranks",
        "test_requeue_wrapper",
        "test_results",
        "test_run_guard",
        "test_safe_copy",
    ),
    *("test_source_roots", "test_staging", "test_start_forms", "test_tables", "test_versioning"),
    *("test_versioning_bad_input", "test_versioning_changed_files", "test_versioning_template"),
}
# Modules with a fixture that starts jobs for all their tests: one process runs them
_TOGETHER = {"test_requeue"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a scheduler; first what stops OAR, then what waits long, which then takes no time of its own."""
    begun = set(_SLOWEST)
    for item in items:
        if uses(item, *_SCHEDULERS):
            item.add_marker("scheduler")
        elif item.path.stem in begun:
            item.add_marker("slow")
        elif item.path.stem in _SLOW:
            begun.add(item.path.stem)
    items.sort(key=lambda item: (not item.get_closest_marker("alone"), not item.get_closest_marker("waits")))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Before the second try of a test (`--reruns 1`), end the fixture that started jobs for its module."""
    report = yield
    is_first_try = getattr(item, "execution_count", None) == 1
    if report.failed and is_first_try and item.path.stem in _TOGETHER and isinstance(item, pytest.Function):
        for definitions in item._fixtureinfo.name2fixturedefs.values():
            if definitions[-1].scope == "module":
                definitions[-1].finish(item._request)  # type: ignore[arg-type]  # only its node is used
    return report


class _Scheduling(LoadScopeScheduling):  # type: ignore[misc]  # it has no type information
    """Sends tests to processes one by one in their order, so what waits long starts first; see also _TOGETHER."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if Path(module).stem in _TOGETHER else nodeid


# (The group of --dist loadgroup is lost with xdist 3.8 and pytest 9.2)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    return _Scheduling(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record", action="store_true", help="write the recorded scripts in tests/scripts anew")
