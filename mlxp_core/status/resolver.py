"""What is true of many runs: one question to each scheduler about all of its runs that their records do not settle."""

from __future__ import annotations

import fcntl
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from mlxp_core.runs.info import RunStatus, restarted
from mlxp_core.runs.reader import RunRecord, seconds
from mlxp_core.schedulers.job_state import JobState
from mlxp_core.status.job_history import known_final_state, record_final_states
from mlxp_core.status.local_processes import is_alive, running_scripts
from mlxp_core.status.rules import COMPLETE, Basis, ResolvedStatus, completed, status_from_job, status_from_process
from mlxp_core.status.scheduler_queries import SchedulerQueries

# Long after the end of a job no scheduler starts it again (SLURM does while it has the job, MinJobAge): it is not asked
_REQUEUE_WINDOW_S = 24 * 3600


class StatusResolver:
    """Finds the statuses on runs, again and again."""

    def __init__(self) -> None:
        self._schedulers = SchedulerQueries()
        # Jobs that waited the last time: one that its scheduler does not know since then was cancelled
        self._waited: set[str] = set()
        self._host = socket.gethostname()
        self._scripts: dict[str, int] | None = None
        self._locked: dict[Path, bool] = {}

    @property
    def notes(self) -> list[str]:
        """What the user should know of the last time, such as that a scheduler did not answer."""
        return self._schedulers.notes

    @property
    def silent(self) -> set[str]:
        """The names of the schedulers that should have answered the last time, and did not."""
        return self._schedulers.silent

    def resolve(self, runs: Sequence[RunRecord]) -> list[ResolvedStatus]:
        """What is true of each run; what is learnt of jobs is kept, as their scheduler may forget it."""
        self._schedulers.look_at(run.launch for run in runs)
        self._scripts, self._locked = None, {}
        states: dict[str, dict[str, JobState] | None] = {}
        asked: dict[str, list[str]] = {}
        conclusive = [_is_conclusive(run) for run in runs]
        for run, is_conclusive in zip(runs, conclusive, strict=True):
            if not is_conclusive and run.first_job_id and run.scheduler and _is_open(run):
                asked.setdefault(run.scheduler, []).append(run.first_job_id)
        for name, job_ids in asked.items():
            states[name] = self._schedulers.ask(name, list(dict.fromkeys(job_ids)))
        seen: list[tuple[RunRecord, JobState]] = []
        statuses = []
        for run, is_conclusive in zip(runs, conclusive, strict=True):
            if is_conclusive:
                statuses.append(COMPLETE)
                continue
            answer = states.get(run.scheduler or "")
            state = self._state(run, answer)
            if state is not None and state.is_final and state.name != "COMPLETED":
                seen.append((run, state))
            answered = answer is not None or not _is_open(run)
            statuses.append(self._verdict(run, state, answered=answered))
        record_final_states(seen)
        return statuses

    def _state(self, run: RunRecord, answer: dict[str, JobState] | None) -> JobState | None:
        """The state of a run's job, as its scheduler says, or as it was seen before."""
        if run.first_job_id is None:
            return None
        job = f"{run.scheduler} {run.first_job_id}"
        state = None if answer is None else answer.get(run.first_job_id)
        if state is None and (learned := known_final_state(run)):
            return JobState(learned.state, run.first_job_id, learned.reason)
        if state is None and answer is not None and job in self._waited:
            # SLURM drops a task that is cancelled while it waits from its array, and keeps no word of it
            return JobState("CANCELLED", run.first_job_id)
        if state is not None and not state.has_started:
            self._waited.add(job)
        elif answer is not None:
            self._waited.discard(job)
        return state

    def _verdict(self, run: RunRecord, state: JobState | None, *, answered: bool) -> ResolvedStatus:
        if run.problem and (run.info or not run.is_unsubmitted):
            status = "DAMAGED" if "damaged" in run.problem else "UNKNOWN"
            return ResolvedStatus(status, run.problem, True, Basis.INFERRED)
        if run.job_id is None:
            return self._without_job(run)
        info = restarted(dict(run.info)) if run.submitted_again else run.info
        shares = run.launch is not None and run.launch.shares_jobs
        return status_from_job(
            info, state, answered=answered, title=self._schedulers.title(run.scheduler), shares_job=shares
        )

    def _without_job(self, run: RunRecord) -> ResolvedStatus:
        if run.is_unsubmitted:
            assert run.launch is not None
            if run.launch.dry_run:
                return ResolvedStatus("NOT_SUBMITTED", "it was a dry run", True, Basis.INFERRED)
            launch = run.launch.directory
            if launch not in self._locked:
                self._locked[launch] = _is_locked(launch)
            if self._locked[launch]:
                return ResolvedStatus("NOT_SUBMITTED", "its launch is submitting it", False, Basis.INFERRED)
            resume = f"'mlxp resume {launch.parent}'"
            if run.launch.was_asked(run.recorded_as):
                reason = f"its launch was broken off meanwhile; {resume} finds out whether it was submitted"
                return ResolvedStatus("UNKNOWN", reason, True, Basis.INFERRED)
            reason = f"its launch was broken off; {resume} submits it"
            return ResolvedStatus("NOT_SUBMITTED", reason, True, Basis.INFERRED)
        return status_from_process(run.info, self._is_alive(run))

    def _is_alive(self, run: RunRecord) -> bool | None:
        info = run.info
        if info.get("status") not in (RunStatus.STARTING, RunStatus.RUNNING):
            return None
        process_id, start = info.get("process_id"), seconds(info.get("start_time"))
        if info.get("hostname") not in (None, self._host):
            return None
        if isinstance(process_id, int):
            try:
                moment = start if start is not None else run.directory.info.stat().st_mtime
            except OSError:
                return None
            alive = is_alive(process_id, moment)
            if alive is not False:
                return alive
        # Its script may be about to start it, or to note its end
        if self._scripts is None:
            self._scripts = running_scripts()
        if str(run.directory.script) in self._scripts:
            return True
        return False if isinstance(process_id, int) else None


def _is_open(run: RunRecord) -> bool:
    """Whether the scheduler has to be asked about a run that its own record does not settle."""
    if run.submitted_again:
        return True
    learned = known_final_state(run)
    noted = seconds(learned.at) if learned else None
    return noted is None or time.time() - noted < _REQUEUE_WINDOW_S


def _is_conclusive(run: RunRecord) -> bool:
    """Whether its own record leaves no question."""
    return completed(run.info) and not run.submitted_again and not run.is_unsubmitted


def _is_locked(launch: Path) -> bool:
    """Whether a launch is being submitted now."""
    try:
        with (launch / "lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    except OSError:  # no lock, or a file system without locks
        pass
    return False
