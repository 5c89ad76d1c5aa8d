"""The state of a job, in SLURM's terms, which cover those of all schedulers that we know."""

from __future__ import annotations

from typing import NamedTuple

# The manual page of squeue, "JOB STATE CODES"; all other states are followed by another one
_FINAL = {
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE"),
    *("PREEMPTED", "REVOKED"),
}
_WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD"}
# Names that users may see
STATES = {*_FINAL, *_WAITING, "RUNNING", "COMPLETING", "SUSPENDED"}


class JobState(NamedTuple):
    """The state of a job.

    Attributes:
        name: PENDING, RUNNING, COMPLETED, FAILED, CANCELLED, TIMEOUT, ...
        job_id: Present id of the job. It differs from the id at the submission where a scheduler (OAR) requeues a job
            under a new id.
        reason: Reason of the state in the scheduler's own words, if it gives one.
        script: Absolute path of the script that the job runs, if the scheduler reports it.
        is_inferred: Whether the state is concluded from the absence of the job in an answer.
    """

    name: str
    job_id: str
    reason: str = ""
    script: str = ""
    is_inferred: bool = False

    @property
    def is_final(self) -> bool:
        """Whether the job has ended and is not requeued."""
        return self.name in _FINAL

    @property
    def was_killed(self) -> bool:
        """Whether something other than the job itself ended it."""
        return self.is_final and self.name not in ("COMPLETED", "FAILED")

    @property
    def has_started(self) -> bool:
        """Whether the job is running or has run."""
        return self.is_final or self.name not in _WAITING
