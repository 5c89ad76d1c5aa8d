"""The batch systems that can run a job, and the base class for more.

Everything that a custom scheduler class needs can be imported from here. Each name is loaded when it is first used, so
that programs that need only one of them start quickly.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlxp_core.config.options import BatchOptions
    from mlxp_core.errors import OptionError, SchedulerUnavailableError
    from mlxp_core.jobs.array_script import Array
    from mlxp_core.jobs.script import Job
    from mlxp_core.schedulers.base import Scheduler
    from mlxp_core.schedulers.job_state import JobState
    from mlxp_core.schedulers.loading import load_scheduler
    from mlxp_core.schedulers.oar import OARScheduler
    from mlxp_core.schedulers.requeue import Requeue
    from mlxp_core.schedulers.slurm import SLURMScheduler

_MODULES = {
    "Array": "jobs.array_script",
    "BatchOptions": "config.options",
    "Job": "jobs.script",
    "JobState": "schedulers.job_state",
    "OARScheduler": "schedulers.oar",
    "OptionError": "errors",
    "Requeue": "schedulers.requeue",
    "SLURMScheduler": "schedulers.slurm",
    "Scheduler": "schedulers.base",
    "SchedulerUnavailableError": "errors",
    "load_scheduler": "schedulers.loading",
}

__all__ = [
    "Array",
    "BatchOptions",
    "Job",
    "JobState",
    "OARScheduler",
    "OptionError",
    "Requeue",
    "SLURMScheduler",
    "Scheduler",
    "SchedulerUnavailableError",
    "load_scheduler",
]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"mlxp_core.{_MODULES[name]}"), name)
