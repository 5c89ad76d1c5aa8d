"""The status of a run, from its own record and from the state of its job or its process.

A run's script records how the run ended, unless the scheduler kills it without notice. The scheduler knows why a job
ended, until it forgets the job. Only together do they give the status.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from mlxp_core.runs.info import RunStatus
from mlxp_core.schedulers.job_state import JobState

# Time after a submission in which a scheduler, or its accounting, may not list the job yet, in seconds
ABSENCE_IGNORED_S = 60

_REASONS = {
    "TIMEOUT": "time limit reached; increase hydra.launcher.timeout_min (or hydra.launcher.max_requeues)",
    "OUT_OF_MEMORY": "it used more memory than requested; increase hydra.launcher.mem_gb",
    "CANCELLED": "its job was cancelled",
    "NODE_FAIL": "its node failed",
    "PREEMPTED": "its job was preempted",
}
NO_EXIT = "no exit was recorded: the run never started, or was killed"


class Basis(Enum):
    """What a status is based on."""

    RECORD = "the run's own record"
    SCHEDULER = "the last state of the run's job"
    INFERRED = "what the record and the scheduler do not say"


class ResolvedStatus(NamedTuple):
    """The status of a run.

    Attributes:
        status: COMPLETE, FAILED, PENDING, RUNNING, TIMEOUT, CANCELLED, ...; UNKNOWN if it can no longer be determined.
        reason: Short explanation, where the status needs one.
        is_finished: Whether the status is final: nothing changes it until a user restarts the run.
        basis: What the status is based on.
        jobs: Ids of the jobs that run the run's script, or are to run it.
    """

    status: str
    reason: str
    is_finished: bool
    basis: Basis
    jobs: tuple[str, ...] = ()

    @property
    def has_failed(self) -> bool:
        """Whether the run is finished and did not complete."""
        return self.is_finished and self.status != "COMPLETE"


COMPLETE = ResolvedStatus("COMPLETE", "", True, Basis.RECORD)


def completed(info: Mapping[str, Any]) -> bool:
    """Return whether a run's record is conclusive: it says COMPLETE, and its script, if it has one, exited with 0."""
    has_script = (info.get("scheduler") or {}).get("name") is not None
    return info.get("status") == RunStatus.COMPLETE and info.get("exit_status", None if has_script else 0) == 0


def status_from_job(
    info: Mapping[str, Any], state: JobState | None, *, answered: bool, title: str, shares_job: bool = False
) -> ResolvedStatus:
    """Return the status of a run that was submitted to a scheduler.

    Args:
        info: The run's record.
        state: State of its job; None if the scheduler does not know the job (any longer) or did not respond.
        answered: Whether the scheduler responded.
        title: The scheduler's name in messages.
        shares_job: Whether the job has other runs.
    """
    status, exit_status = info.get("status", RunStatus.STARTING.value), info.get("exit_status")
    record = ResolvedStatus(status, _error(info), True, Basis.RECORD)
    if state is not None and not state.has_started:
        return ResolvedStatus(state.name, state.reason, False, Basis.SCHEDULER)
    if completed(info):
        return record
    if state is not None:
        # Among runs that share a job, one that ended by itself before the job did has an end of its own
        ended_by_itself = shares_job and isinstance(exit_status, int) and exit_status < 128
        if ended_by_itself and not (state.is_final and not state.was_killed):
            return record
        if not state.is_final:
            name = status if state.name == "RUNNING" and status == RunStatus.STARTING else state.name
            return ResolvedStatus(name, state.reason, False, Basis.SCHEDULER)
        if state.was_killed:
            return ResolvedStatus(state.name, _REASONS.get(state.name, ""), True, Basis.SCHEDULER)
    if exit_status is not None:
        return record
    if status in (RunStatus.COMPLETE, RunStatus.FAILED):  # the application recorded its end, its script did not
        reason = _error(info) or "its script recorded no exit status"
        return ResolvedStatus(status, reason, True, Basis.INFERRED)
    if state is None and not answered:
        return ResolvedStatus(status, f"from its record; {title} did not respond", False, Basis.RECORD)
    if state is None:
        return ResolvedStatus("UNKNOWN", _forgotten(status, title), True, Basis.INFERRED)
    if state.name == "COMPLETED":
        return ResolvedStatus("UNKNOWN", "its job completed, but no exit was recorded", True, Basis.INFERRED)
    reason = f"{NO_EXIT} ({state.reason})" if state.reason else NO_EXIT
    return ResolvedStatus("FAILED", reason, True, Basis.INFERRED)


def status_from_process(info: Mapping[str, Any], process: Mapping[str, Any], is_alive: bool | None) -> ResolvedStatus:
    """Return the status of a run that has no batch scheduler, or was started by hand.

    Args:
        info: The run's record.
        process: Identity of its process, or of the one that is to start it; empty if none is recorded.
        is_alive: Whether its process is alive, or the process that is to start it; None if that cannot be checked from
            this machine.
    """
    status = info.get("status", RunStatus.STARTING.value)
    if status in (RunStatus.COMPLETE, RunStatus.FAILED):
        return ResolvedStatus(status, _error(info), True, Basis.RECORD)
    is_waiting = status == RunStatus.STARTING  # then the recorded process is the one that is to start the run
    if is_alive:
        return ResolvedStatus("PENDING" if is_waiting else status, "", False, Basis.RECORD)
    if not process:
        return ResolvedStatus("UNKNOWN", f"recorded as {status}, without a process", True, Basis.INFERRED)
    name = f"process {process.get('process_id')} on {process.get('hostname')}"
    if is_alive is None:
        reason = f"recorded as {status}; {name} cannot be checked from this host"
        return ResolvedStatus("UNKNOWN", reason, True, Basis.INFERRED)
    if is_waiting:
        reason = f"{name}, which was to start it, has ended"
        return ResolvedStatus("NOT_SUBMITTED", reason, True, Basis.INFERRED)
    reason = f"{name} has ended without recording an exit: it was killed"
    return ResolvedStatus("FAILED", reason, True, Basis.INFERRED)


def _forgotten(status: str, title: str) -> str:
    if status == RunStatus.STARTING:
        return f"{title} no longer knows its job, which never started: it was cancelled while pending, or forgotten"
    return f"{title} no longer knows its job, and no exit was recorded"


def _error(info: Mapping[str, Any]) -> str:
    error = info.get("error")
    if not isinstance(error, Mapping):
        return ""
    kind, message = error.get("type"), str(error.get("message", ""))
    return message if kind in ("ExitStatus", "Exit", None) else f"{kind}: {message}"
