"""The batch systems that can run a job, and the base class for more."""

from mlxp_core.array_script import Array
from mlxp_core.job_script import Job
from mlxp_core.job_state import JobState
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.loading import load_scheduler
from mlxp_core.schedulers.oar import OARScheduler
from mlxp_core.schedulers.slurm import SLURMScheduler

__all__ = ["Array", "Job", "JobState", "OARScheduler", "SLURMScheduler", "Scheduler", "load_scheduler"]
