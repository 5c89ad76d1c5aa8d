"""The statuses of many runs, with a single query per scheduler for the runs whose own record is not conclusive."""

from __future__ import annotations

import fcntl
import socket
import time
from collections.abc import Sequence
from pathlib import Path

from mlxp_core.runs.info import RunStatus, restarted, seconds
from mlxp_core.runs.reader import RunRecord
from mlxp_core.schedulers.job_state import JobState
from mlxp_core.status.job_history import known_final_state, record_final_states
from mlxp_core.status.local_processes import is_alive, running_scripts
from mlxp_core.status.rules import COMPLETE, Basis, ResolvedStatus, completed, status_from_job, status_from_process
from mlxp_core.status.scheduler_queries import SchedulerQueries

# A scheduler may requeue a job that has ended (SLURM while it knows the job, MinJobAge), but not after so long
_REQUEUE_WINDOW_S = 24 * 3600


class StatusResolver:
    """Resolves the statuses of runs, any number of times."""

    def __init__(self) -> None:
        self._queries = SchedulerQueries()
        # Jobs that were pending at the last query: one that its scheduler no longer knows was cancelled
        self._pending: set[str] = set()
        self._host = socket.gethostname()
        self._scripts: dict[str, int] | None = None
        self._locked: dict[Path, bool] = {}

    @property
    def notes(self) -> list[str]:
        """Messages for the user about the last call of `resolve`, such as a scheduler that did not respond."""
        return self._queries.notes

    @property
    def unresponsive(self) -> set[str]:
        """Names of the schedulers that did not give a usable answer in the last call of `resolve`."""
        return self._queries.unresponsive

    def resolve(self, runs: Sequence[RunRecord]) -> list[ResolvedStatus]:
        """Return the status of each run, and record the final states of jobs, as schedulers forget them."""
        self._queries.start(run.launch for run in runs)
        self._scripts, self._locked = None, {}
        conclusive = [_is_conclusive(run) for run in runs]
        job_ids: dict[str, list[str]] = {}
        for run, is_conclusive in zip(runs, conclusive, strict=True):
            if not is_conclusive and run.first_job_id and run.scheduler and _needs_query(run):
                job_ids.setdefault(run.scheduler, []).append(run.first_job_id)
        answers = {name: self._queries.states(name, list(dict.fromkeys(ids))) for name, ids in job_ids.items()}
        final: list[tuple[RunRecord, JobState]] = []
        statuses = []
        for run, is_conclusive in zip(runs, conclusive, strict=True):
            if is_conclusive:
                statuses.append(COMPLETE)
                continue
            answer = answers.get(run.scheduler or "")
            state = self._state(run, answer)
            if state is not None and state.is_final and state.name != "COMPLETED":
                final.append((run, state))
            answered = answer is not None or not _needs_query(run)
            statuses.append(self._status(run, state, answered=answered))
        record_final_states(final)
        return statuses

    def _state(self, run: RunRecord, answer: dict[str, JobState] | None) -> JobState | None:
        """Return the state of a run's job, from the scheduler's answer or as recorded earlier."""
        if run.first_job_id is None:
            return None
        job = f"{run.scheduler} {run.first_job_id}"
        state = None if answer is None else answer.get(run.first_job_id)
        if state is None and (known := known_final_state(run)):
            return JobState(known.state, run.first_job_id, known.reason)
        if state is None and answer is not None and job in self._pending:
            # SLURM removes a task that is cancelled while pending from its array, and forgets it
            return JobState("CANCELLED", run.first_job_id)
        if state is not None and not state.has_started:
            self._pending.add(job)
        elif answer is not None:
            self._pending.discard(job)
        return state

    def _status(self, run: RunRecord, state: JobState | None, *, answered: bool) -> ResolvedStatus:
        if run.problem and (run.info or not run.is_unsubmitted):
            status = "DAMAGED" if run.problem.endswith("is damaged") else "UNKNOWN"
            return ResolvedStatus(status, run.problem, True, Basis.INFERRED)
        if run.job_id is None:
            return self._status_without_job(run)
        info = restarted(dict(run.info)) if run.submitted_again else run.info
        shares_job = run.launch is not None and run.launch.shares_jobs
        title = self._queries.title(run.scheduler)
        return status_from_job(info, state, answered=answered, title=title, shares_job=shares_job)

    def _status_without_job(self, run: RunRecord) -> ResolvedStatus:
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
                reason = (
                    f"its launch was interrupted during the submission; {resume} finds out whether it was submitted"
                )
                return ResolvedStatus("UNKNOWN", reason, True, Basis.INFERRED)
            reason = f"its launch was interrupted; {resume} submits it"
            return ResolvedStatus("NOT_SUBMITTED", reason, True, Basis.INFERRED)
        return status_from_process(run.info, self._is_alive(run))

    def _is_alive(self, run: RunRecord) -> bool | None:
        """Return whether the run's process or its script is alive; None if that cannot be checked."""
        info = run.info
        if info.get("status") not in (RunStatus.STARTING, RunStatus.RUNNING):
            return None
        process_id, start = info.get("process_id"), seconds(info.get("start_time"))
        if info.get("hostname") not in (None, self._host):
            return None
        if isinstance(process_id, int):
            try:
                recorded_at = start if start is not None else run.directory.info.stat().st_mtime
            except OSError:
                return None
            alive = is_alive(process_id, recorded_at)
            if alive is not False:
                return alive
        # Its script may be about to start the application, or to record its end
        if self._scripts is None:
            self._scripts = running_scripts()
        if str(run.directory.script) in self._scripts:
            return True
        return False if isinstance(process_id, int) else None


def _needs_query(run: RunRecord) -> bool:
    """Return whether the scheduler may know more about the job of an inconclusive run than is recorded."""
    if run.submitted_again:
        return True
    known = known_final_state(run)
    observed = seconds(known.at) if known else None
    return observed is None or time.time() - observed < _REQUEUE_WINDOW_S


def _is_conclusive(run: RunRecord) -> bool:
    """Return whether the run's own record is enough to determine its status."""
    return completed(run.info) and not run.submitted_again and not run.is_unsubmitted


def _is_locked(launch: Path) -> bool:
    """Return whether a launch is being submitted now."""
    try:
        with (launch / "lock").open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
    except OSError:  # no lock file, or a file system without locks
        pass
    return False
