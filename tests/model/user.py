"""A user of the package, step by step."""

from __future__ import annotations

import itertools
from typing import Literal

from tests.clusters import Cluster, start
from tests.model.beside import Beside
from tests.model.commands import Commands


class User(Commands, Beside):
    """A user, whose steps are methods; after each, what must be true is checked."""


_number = itertools.count(1)


def user_of(cluster: Cluster | Literal["slurm", "oar"], *, is_patient: bool = True) -> User:
    """Return a new user of a scheduler, with a project of their own."""
    cluster = start(cluster) if isinstance(cluster, str) else cluster
    return User(cluster, f"model-{next(_number)}", is_patient=is_patient)
