"""What is true of a run, by its own record and what the scheduler or this machine says of it.

The script of a run notes how it ended, unless the scheduler kills it without notice; the scheduler knows why a job
ended, until it forgets it. Neither alone is the truth.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from mlxp_core.runs.info import RunStatus
from mlxp_core.schedulers.job_state import JobState

_HINTS = {
    "TIMEOUT": "its time was over. Raise hydra.launcher.timeout_min (or hydra.launcher.max_requeues)",
    "OUT_OF_MEMORY": "it used more memory than it asked for. Raise hydra.launcher.mem_gb",
    "CANCELLED": "somebody cancelled it",
    "NODE_FAIL": "its node failed",
    "PREEMPTED": "another job took its place",
}
_NO_END = "the run left no end: it did not start, or was killed"


class Basis(Enum):
    """Whose word a resolved is."""

    RECORD = "the run's own record"
    SCHEDULER = "the scheduler's last word on its job"
    INFERRED = "what little is left"


class ResolvedStatus(NamedTuple):
    """What is true of a run.

    Attributes:
        status: COMPLETE, FAILED, PENDING, RUNNING, TIMEOUT, CANCELLED, ...; UNKNOWN where nobody can know any more.
        reason: why, in a few words, where that is not clear.
        is_finished: whether nothing will happen to it by itself any more.
        basis: whose word it is.
    """

    status: str
    reason: str
    is_finished: bool
    basis: Basis

    @property
    def has_failed(self) -> bool:
        """Whether it is over and did not complete."""
        return self.is_finished and self.status != "COMPLETE"


COMPLETE = ResolvedStatus("COMPLETE", "", True, Basis.RECORD)


def completed(info: Mapping[str, Any]) -> bool:
    """Whether a run's own record leaves no question: it completed, and its script, if it has one, saw that."""
    has_script = (info.get("scheduler") or {}).get("name") is not None
    return info.get("status") == RunStatus.COMPLETE and info.get("exit_status", None if has_script else 0) == 0


def status_from_job(
    info: Mapping[str, Any], state: JobState | None, *, answered: bool, title: str, shares_job: bool = False
) -> ResolvedStatus:
    """The resolved on a run that a scheduler has, or had.

    Args:
        info: its record.
        state: of its job; None when the scheduler does not know it (any more), or did not answer.
        answered: whether the scheduler answered.
        title: the scheduler's.
        shares_job: whether other runs are in the same job.
    """
    status, exit_status = info.get("status", RunStatus.STARTING.value), info.get("exit_status")
    record = ResolvedStatus(status, _error(info), True, Basis.RECORD)
    if state is not None and not state.has_started:
        return ResolvedStatus(state.name, state.reason, False, Basis.SCHEDULER)
    if completed(info):
        return record
    if state is not None:
        # Of runs that share a job, one that ended by itself before its job has its own end
        by_itself = shares_job and isinstance(exit_status, int) and exit_status < 128
        if by_itself and not (state.is_final and not state.was_killed):
            return record
        if not state.is_final:
            name = status if state.name == "RUNNING" and status == RunStatus.STARTING else state.name
            return ResolvedStatus(name, state.reason, False, Basis.SCHEDULER)
        if state.was_killed:
            return ResolvedStatus(state.name, _HINTS.get(state.name, ""), True, Basis.SCHEDULER)
    if exit_status is not None:
        return record
    if status in (RunStatus.COMPLETE, RunStatus.FAILED):  # the run noted its end, and its script did not
        reason = _error(info) or "its script noted no exit status"
        return ResolvedStatus(status, reason, True, Basis.INFERRED)
    if state is None and not answered:
        return ResolvedStatus(status, f"as its record says; {title} does not tell", False, Basis.RECORD)
    if state is None:
        return ResolvedStatus("UNKNOWN", _forgotten(status, title), True, Basis.INFERRED)
    if state.name == "COMPLETED":
        return ResolvedStatus("UNKNOWN", "the run left no end, though its job is over", True, Basis.INFERRED)
    return ResolvedStatus("FAILED", f"{_NO_END} ({state.reason})" if state.reason else _NO_END, True, Basis.INFERRED)


def status_from_process(info: Mapping[str, Any], is_alive: bool | None) -> ResolvedStatus:
    """The resolved on a run that has no scheduler, or was started by hand.

    Args:
        info: its record.
        is_alive: whether its process is, or the one that is to start it; None when that cannot be told from here.
    """
    status = info.get("status", RunStatus.STARTING.value)
    if status in (RunStatus.COMPLETE, RunStatus.FAILED):
        return ResolvedStatus(status, _error(info), True, Basis.RECORD)
    waits = status == RunStatus.STARTING  # then the process is the one that is to start it
    if is_alive:
        return ResolvedStatus("PENDING" if waits else status, "", False, Basis.RECORD)
    process = f"process {info.get('process_id')} on {info.get('hostname')}"
    if info.get("process_id") is None:
        return ResolvedStatus("UNKNOWN", f"its record says {status}, and names no process", True, Basis.INFERRED)
    if is_alive is None:
        return ResolvedStatus(
            "UNKNOWN", f"its record says {status}; from here nobody sees {process}", True, Basis.INFERRED
        )
    if waits:
        return ResolvedStatus("NOT_SUBMITTED", f"{process} was to start it, and is gone", True, Basis.INFERRED)
    return ResolvedStatus("FAILED", f"its {process} is gone and left no end: it was killed", True, Basis.INFERRED)


def _forgotten(status: str, title: str) -> str:
    if status == RunStatus.STARTING:
        return f"{title} has its job no more, which never started: it was cancelled while it waited, or forgotten"
    return f"{title} does not know its job any more, and the run left no end"


def _error(info: Mapping[str, Any]) -> str:
    error = info.get("error")
    if not isinstance(error, Mapping):
        return ""
    kind, message = error.get("type"), str(error.get("message", ""))
    return message if kind in ("ExitStatus", "Exit", None) else f"{kind}: {message}"
