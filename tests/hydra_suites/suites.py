"""Hydra's own test suites for launchers, unchanged, for one of ours. A scheduler's user runs a copy of this file."""

from __future__ import annotations

import os

import pytest
from hydra.core.plugins import Plugins
from hydra.test_utils.launcher_common_tests import (
    BatchedSweeperTestSuite,
    IntegrationTestSuite,
    LauncherTestSuite,
)

LAUNCHER = os.environ.get("SUITES_LAUNCHER", "local")
OPTIONS = [] if LAUNCHER == "local" else ["hydra.launcher.wait=true", "hydra.launcher.poll_interval_s=0.2"]


@pytest.fixture(autouse=True, scope="module")
def plugins() -> None:
    """Import the plugins first: in Hydra 1.4 they add to the ConfigStore, whose state the suites save and restore."""
    Plugins.instance()


@pytest.mark.parametrize(("launcher_name", "overrides"), [(LAUNCHER, OPTIONS)])
class TestLauncher(LauncherTestSuite):
    """Task functions that no command line starts."""


@pytest.mark.parametrize(("launcher_name", "overrides"), [(LAUNCHER, [*OPTIONS, "hydra.sweeper.max_batch_size=2"])])
class TestBatches(BatchedSweeperTestSuite):
    """The launcher is called several times."""


@pytest.mark.parametrize(
    ("task_launcher_cfg", "extra_flags"),
    [({}, ["-m", f"hydra/launcher={LAUNCHER}", *OPTIONS])],
)
class TestIntegration(IntegrationTestSuite):
    """Whole programs."""
