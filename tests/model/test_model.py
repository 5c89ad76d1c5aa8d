"""A short random sequence of a user's steps on each scheduler; `make soak` plays long ones."""

from __future__ import annotations

import pytest

from tests.clusters import Cluster
from tests.model.machine import QUIET, play

pytestmark = pytest.mark.waits


def test_random_steps(scheduler: Cluster) -> None:
    violations = play(scheduler, QUIET, number=94, sequences=1, length=10)
    assert not violations, violations[0]
