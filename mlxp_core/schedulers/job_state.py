"""What a scheduler says of a job, in SLURM's words, which name every case that we know of."""

from __future__ import annotations

from typing import NamedTuple

# The manual page of squeue, "JOB STATE CODES"; all others change by themselves
_FINAL = {
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE"),
    *("PREEMPTED", "REVOKED"),
}
_WAITING = {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD"}
# Names that a user may meet
STATES = {*_FINAL, *_WAITING, "RUNNING", "COMPLETING", "SUSPENDED"}


class JobState(NamedTuple):
    """The state of a job.

    Attributes:
        name: PENDING, RUNNING, COMPLETED, FAILED, CANCELLED, TIMEOUT, ...
        job_id: the id under which the scheduler has it now; another than the first where a job that is started again
            becomes a new one (OAR).
        reason: the scheduler's own words for it, if it has any.
    """

    name: str
    job_id: str
    reason: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the job is over for good."""
        return self.name in _FINAL

    @property
    def was_killed(self) -> bool:
        """Whether it was not the job itself that ended it."""
        return self.is_final and self.name not in ("COMPLETED", "FAILED")

    @property
    def has_started(self) -> bool:
        """Whether it runs or has run."""
        return self.is_final or self.name not in _WAITING
