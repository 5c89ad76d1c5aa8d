"""The statuses of many runs, from their records, one query for each scheduler, and the processes on this machine."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from mlxp_core.files import read_regular
from mlxp_core.locks import is_held
from mlxp_core.runs.discovery import sweeps_above
from mlxp_core.runs.fast_yaml import load_yaml
from mlxp_core.runs.info import RunStatus, restarted, seconds
from mlxp_core.runs.reader import LOCAL, RunReader, RunRecord
from mlxp_core.runs.start_lock import is_locked
from mlxp_core.runs.starts import is_alive_here
from mlxp_core.schedulers.job_state import JobState
from mlxp_core.status.job_history import known_final_state, record_final_states
from mlxp_core.status.local_processes import running_scripts
from mlxp_core.status.rules import (
    ABSENCE_IGNORED_S,
    COMPLETE,
    NO_EXIT,
    Basis,
    ResolvedStatus,
    completed,
    status_from_job,
    status_from_process,
)
from mlxp_core.status.scheduler_queries import Answer, SchedulerQueries

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
        self._locked_launches: dict[Path, bool] = {}

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
        self._scripts, self._locked_launches = None, {}
        # Each scheduler is asked, even if all records are conclusive: the user may have submitted a script again
        job_ids: dict[str, list[str]] = {}
        for run in runs:
            if run.scheduler and run.scheduler != LOCAL:
                asked = job_ids.setdefault(run.scheduler, [])
                if _needs_query(run):
                    asked += run.job_ids
        # If the scheduler does not know these jobs, nothing follows
        ended: dict[bool, set[str]] = {True: set(), False: set()}
        for run in runs:
            ended["exit_status" in run.info or known_final_state(run) is not None].update(run.job_ids)
        certain = ended[True] - ended[False]
        answers = {name: self._queries.states(name, list(dict.fromkeys(ids)), certain) for name, ids in job_ids.items()}
        final: list[tuple[RunRecord, JobState]] = []
        statuses = [self._resolve(run, answers, final) for run in runs]
        record_final_states(final)
        return statuses

    def _resolve(
        self, run: RunRecord, answers: Mapping[str, Answer | None], final: list[tuple[RunRecord, JobState]]
    ) -> ResolvedStatus:
        answer = answers.get(run.scheduler or "")
        jobs = self._active_jobs(run, answers)
        if _is_conclusive(run) and not jobs:
            return COMPLETE
        state = self._state(run, answer)
        if state is not None and state.is_final and state.name != "COMPLETED":
            final.append((run, state))
        status = self._status(run, state, jobs, answered=answer is not None or not _needs_query(run))
        if status.basis is Basis.INFERRED and (now := _changed(run)) is not None:
            # It started or ended between the reading of its record and the query
            return self._resolve(now, answers, final)
        if answer is None and run.job_id and not status.is_finished:
            return status._replace(jobs=(run.job_id,))
        return status._replace(jobs=tuple(job.job_id for job in jobs))

    def _active_jobs(self, run: RunRecord, answers: Mapping[str, Answer | None]) -> list[JobState]:
        """Return the jobs that run the run's script, or are to run it: those known by id, and those found by script."""
        found: dict[str, JobState] = {}
        for name, answer in answers.items():
            if answer is None:
                continue
            jobs = [answer.states.get(job_id) for job_id in run.job_ids] if name == run.scheduler else []
            if answer.by_script:
                jobs += [job for script in run.scripts for job in answer.by_script.get(script, ())]
            found |= {job.job_id: job for job in jobs if job is not None and not job.is_final}
        return list(found.values())

    def _state(self, run: RunRecord, answer: Answer | None) -> JobState | None:
        """Return the state of a run's current job, from the scheduler's answer or as recorded earlier."""
        if run.job_id is None:
            return None
        job = f"{run.scheduler} {run.job_id}"
        state = None if answer is None else answer.states.get(run.job_id)
        if state is None and answer is not None and run.submitted_job is not None:
            # A job that was restarted as another one is known by its first and by its last id only
            first = answer.states.get(run.submitted_job)
            state = first if first is not None and first.job_id != run.submitted_job else None
        if state is None or state.is_inferred:
            if known := known_final_state(run):
                return JobState(known.state, run.job_id, known.reason)
            if answer is not None and job in self._pending:
                # SLURM removes a task that is cancelled while pending from its array, and forgets it
                return JobState("CANCELLED", run.job_id)
            if answer is not None and _is_fresh(run):
                return None
        if state is not None and not state.has_started:
            self._pending.add(job)
        elif answer is not None:
            self._pending.discard(job)
        return state

    def _status(
        self, run: RunRecord, state: JobState | None, jobs: Sequence[JobState], *, answered: bool
    ) -> ResolvedStatus:
        if run.was_never_launched and not jobs:
            return self._status_never_launched(run)
        if run.problem and (run.info or not run.is_unsubmitted or jobs):
            status = "DAMAGED" if run.problem.endswith("is damaged") else "UNKNOWN"
            return ResolvedStatus(status, run.problem, not jobs, Basis.INFERRED)
        if run.job_id is None:
            resolved = self._status_without_job(run) if run.start or not jobs else None
        else:
            resolved = self._status_from_job(run, run.info, state, answered=answered)
            if state is None and answered and resolved.status == "UNKNOWN" and _is_fresh(run):
                reason = f"{self._queries.title(run.scheduler)} does not list its job {run.job_id} yet"
                return ResolvedStatus(
                    str(run.info.get("status", RunStatus.STARTING.value)), reason, False, Basis.RECORD
                )
            # SLURM loses the processes of a job whose shell was killed, and processes on a lost node may still run
            outlives = resolved.is_finished and run.info.get("status") == RunStatus.RUNNING
            if outlives and run.start and self._is_alive(run):
                return ResolvedStatus("RUNNING", f"its process runs, but {resolved.reason}", False, Basis.RECORD)
        others = [job for job in jobs if state is None or job.job_id != state.job_id]
        if others and (resolved is None or resolved.is_finished):
            # The script was submitted again, and has not started the application yet
            waiting = sorted(others, key=lambda job: not job.has_started)[0]
            return self._status_from_job(run, restarted(dict(run.info)), waiting, answered=True)
        assert resolved is not None
        return resolved

    def _status_from_job(
        self, run: RunRecord, info: Mapping[str, Any], state: JobState | None, *, answered: bool
    ) -> ResolvedStatus:
        shares_job = run.launch is not None and run.launch.shares_jobs
        title = self._queries.title(run.scheduler)
        return status_from_job(info, state, answered=answered, title=title, shares_job=shares_job)

    def _status_without_job(self, run: RunRecord) -> ResolvedStatus:
        if run.is_unsubmitted:
            assert run.launch is not None
            if run.launch.dry_run:
                return ResolvedStatus("NOT_SUBMITTED", "it was a dry run", True, Basis.INFERRED)
            launch = run.launch.directory
            if run.scheduler == LOCAL:
                return self._status_in_local_launch(run, launch)
            if self._is_locked(launch):
                return ResolvedStatus("NOT_SUBMITTED", "its launch is submitting it", False, Basis.INFERRED)
            resume = f"'mlxp resume {launch.parent}'"
            if run.launch.was_asked(run.recorded_as):
                reason = (
                    f"its launch was interrupted during the submission; {resume} finds out whether it was submitted"
                )
                return ResolvedStatus("UNKNOWN", reason, True, Basis.INFERRED)
            reason = f"its launch was interrupted; {resume} submits it"
            return ResolvedStatus("NOT_SUBMITTED", reason, True, Basis.INFERRED)
        resolved = status_from_process(run.info, run.process, self._is_alive(run))
        if resolved.status == "NOT_SUBMITTED" and run.scheduler == LOCAL and run.submission is not None:
            return ResolvedStatus("FAILED", NO_EXIT, True, Basis.INFERRED)
        return resolved

    def _status_in_local_launch(self, run: RunRecord, launch: Path) -> ResolvedStatus:
        """Return the status of a run that its launch on this machine has not started."""
        resolved = status_from_process(run.info, run.process, self._is_alive(run))
        if run.info and (not resolved.is_finished or resolved.status == "UNKNOWN"):
            return resolved
        reason = f"its launch ended before it started; 'mlxp resume {launch.parent}' starts it"
        return ResolvedStatus("NOT_SUBMITTED", reason, True, Basis.INFERRED)

    def _status_never_launched(self, run: RunRecord) -> ResolvedStatus:
        locks = (lock for sweep in sweeps_above(run.path) for lock in sweep.glob("launch-*/lock"))
        if any(self._is_locked(lock.parent) for lock in locks if not (lock.parent / "plan.json").exists()):
            return ResolvedStatus("NOT_SUBMITTED", "a launch is being prepared", False, Basis.INFERRED)
        command = f"'mlxp clean --runs --status NEVER_LAUNCHED {Path(run.path).parent}'"
        reason = f"its launch ended before it wrote a plan; {command} removes the empty directory"
        return ResolvedStatus("NEVER_LAUNCHED", reason, True, Basis.INFERRED)

    def _is_locked(self, launch: Path) -> bool:
        """Return whether a launch is being prepared or submitted now."""
        if launch not in self._locked_launches:
            self._locked_launches[launch] = is_held(launch / "lock")
        return self._locked_launches[launch]

    def _is_alive(self, run: RunRecord) -> bool | None:
        """Return whether the run's process or its script is alive; None if that cannot be checked."""
        if run.info.get("status") not in (RunStatus.STARTING, RunStatus.RUNNING):
            return None
        alive = is_alive_here(run.process)
        if alive is not False and run.start is not None and is_locked(run.directory.lock):
            return True
        if alive:
            return True
        if run.process.get("hostname") not in (None, self._host):
            return None
        # Its script may be about to start the application, or to record its end
        if self._scripts is None:
            self._scripts = running_scripts()
        return True if any(script in self._scripts for script in run.scripts) else alive


def _needs_query(run: RunRecord) -> bool:
    """Return whether the scheduler may know more about the jobs of a run than is recorded."""
    if _is_conclusive(run):
        return False
    known = known_final_state(run)
    observed = seconds(known.at) if known else None
    return observed is None or time.time() - observed < _REQUEUE_WINDOW_S


def _is_fresh(run: RunRecord) -> bool:
    """Return whether the run was submitted so recently that the absence of its job means nothing."""
    submitted = seconds(run.submission.at) if run.submission is not None else None
    return submitted is not None and 0 <= time.time() - submitted < ABSENCE_IGNORED_S


def _is_conclusive(run: RunRecord) -> bool:
    """Return whether the run's own record is enough to determine its status, if no other job runs its script."""
    return completed(run.info) and not run.is_unsubmitted


def _changed(run: RunRecord) -> RunRecord | None:
    """Return the run as it is now, if its record has changed since it was read; None if it has not."""
    try:
        if load_yaml(read_regular(run.directory.info)) == run.info:
            return None
    except (OSError, ValueError, yaml.YAMLError):
        return None
    (now,) = RunReader(Path(run.path).parent).read_some([Path(run.path)])
    return replace(now, name=run.name) if now.info != run.info else None
