"""Hydra's own test suites for launchers pass unchanged."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.clusters import Cluster
from tests.hydra_suites import suites
from tests.hydra_suites.suites import TestBatches, TestIntegration, TestLauncher, plugins  # noqa: F401  # on local
from tests.programs import Result

pytestmark = [pytest.mark.hydra, pytest.mark.waits]

SUITES = (TestLauncher, TestBatches, TestIntegration)


def test_on_cluster(scheduler: Cluster) -> None:
    """The suites run as the scheduler's user, because OAR refuses root, and in parallel, because jobs start slowly."""
    app = scheduler.app("hydra-suites")
    shutil.copy(suites.__file__, app.directory)
    app.give()

    def run(suite: type) -> Result:
        options = ("-q", "-W", "error", "-p", "no:cacheprovider", f"--basetemp={suite.__name__}")
        command = (app.python, "-m", "pytest", *options, f"suites.py::{suite.__name__}")
        return app.call(*command, env={"SUITES_LAUNCHER": scheduler.launcher}, timeout=1800)

    with ThreadPoolExecutor(len(SUITES)) as pool:
        for result in pool.map(run, SUITES):
            print(result.text)
            assert result.status == 0, result.text
