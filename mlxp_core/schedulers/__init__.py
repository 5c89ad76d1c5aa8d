"""The batch systems that can run a job, and the base class for more."""

from mlxp_core.job_script import Job
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.oar import OARScheduler
from mlxp_core.schedulers.slurm import SLURMScheduler

__all__ = ["Job", "OARScheduler", "SLURMScheduler", "Scheduler"]
