"""Placeholder."""

from __future__ import annotations

from importlib import import_module

from mlxp_core.errors import OptionError
from mlxp_core.schedulers.base import Scheduler

_OURS = {
    "OARScheduler": "mlxp_core.schedulers.oar.OARScheduler",
    "SLURMScheduler": "mlxp_core.schedulers.slurm.SLURMScheduler",
}


def load_scheduler(name: str) -> type[Scheduler]:
    """The class of a scheduler."""
    module, _, class_name = _OURS.get(name, name).rpartition(".")
    try:
        kind: type[Scheduler] = getattr(import_module(module), class_name)
    except (ImportError, ValueError, AttributeError):
        raise OptionError(f"There is no scheduler {name!r}: give OARScheduler, SLURMScheduler, or x.y.") from None
    return kind
