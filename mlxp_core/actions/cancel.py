"""Ending runs, whoever runs them: in one request for each scheduler, and by a signal on this machine."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from mlxp_core.actions.selection import sharing_jobs
from mlxp_core.errors import MlxpError, SchedulerUnavailableError
from mlxp_core.runs.info import RunStatus
from mlxp_core.runs.reader import RunReader, RunRecord, seconds
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.job_state import JobState
from mlxp_core.status.local_processes import end_processes, is_alive, running_scripts
from mlxp_core.status.resolver import StatusResolver
from mlxp_core.status.rules import ResolvedStatus
from mlxp_core.status.scheduler_queries import scheduler_to_ask

# How long the end of what was cancelled is waited for, and how often it is looked for
_PATIENCE_S = 15
_LOOK_S = 0.5


class CheckedRun(NamedTuple):
    """A run, and what is true of it."""

    run: RunRecord
    resolved: ResolvedStatus


class Cancellation:
    """The runs that somebody wants to be over.

    Args:
        runs: all of them this user's.

    Attributes:
        open: those that can be ended.
        over: those that are over.
        impossible: those that are not, and cannot be ended from here, each with the reason.
        beside: runs that share a job with one of `open`, and end with it.
        notes: what the user should know of the schedulers' answers.
    """

    def __init__(self, runs: Sequence[RunRecord]) -> None:
        self._states = StatusResolver()
        self._schedulers: dict[str, Scheduler] = {}
        # By the job as it was submitted, because it may have another id now
        self._asked: dict[str, set[str]] = {}
        self.open: list[CheckedRun] = []
        self.over: list[CheckedRun] = []
        self.impossible: list[tuple[RunRecord, str]] = []
        for run, resolved in self._check(runs):
            if reason := _why_not(run, resolved):
                self.impossible.append((run, reason))
            else:
                (self.over if resolved.is_over else self.open).append(CheckedRun(run, resolved))
        self.notes = list(self._states.notes)
        beside = self._check(sharing_jobs([run for run, _ in self.open]))
        self.beside = [checked for checked in beside if not checked.resolved.is_over]

    def _check(self, runs: Sequence[RunRecord]) -> list[CheckedRun]:
        return [CheckedRun(*pair) for pair in zip(runs, self._states.resolve(runs), strict=True)]

    def cancel(self) -> list[str]:
        """End them; what went wrong, in a sentence each."""
        problems = []
        of_schedulers: dict[str, list[RunRecord]] = {}
        scripts = running_scripts()
        for run, _ in self.open:
            if run.job_id is not None and run.scheduler is not None:
                of_schedulers.setdefault(run.scheduler, []).append(run)
                continue
            process_id = run.info.get("process_id")
            start = seconds(run.info.get("start_time"))
            alive = isinstance(process_id, int) and start is not None and is_alive(process_id, start)
            shell = scripts.get(str(run.directory.script)) or scripts.get(f"{run.recorded_as}/script.sh")
            try:
                end_processes(shell, process_id if alive else None)
            except PermissionError:
                problems.append(f"{run.path} runs as another user here, and cannot be ended by this one.")
        for name, runs in of_schedulers.items():
            try:
                self._cancel_jobs(name, runs)
            except MlxpError as error:
                problems.append(str(error))
        return problems

    def _cancel_jobs(self, name: str, runs: Sequence[RunRecord]) -> None:
        """Ask a scheduler for the end of the jobs of runs that it was not asked for yet."""
        scheduler = self._scheduler(name, runs[0])
        first = list(dict.fromkeys(run.first_job_id or "" for run in runs))
        # A job that its scheduler started again may be another one now, of which the record does not know yet
        states: dict[str, JobState] = {}
        if scheduler.implements("states_command", "states"):
            with suppress(SchedulerUnavailableError):
                states = scheduler.states(first)
        present = {run.first_job_id: run.job_id or "" for run in runs}
        present |= {job_id: state.job_id for job_id, state in states.items() if job_id in present}
        asked = self._asked.setdefault(name, set())
        new = [job_id for job_id in dict.fromkeys(present.values()) if job_id not in asked]
        if new:
            scheduler.cancel(new)
            asked.update(new)

    def _scheduler(self, name: str, run: RunRecord) -> Scheduler:
        if name not in self._schedulers:
            self._schedulers[name] = scheduler_to_ask(name, run.launch)
        return self._schedulers[name]

    def outcome(self, *, patience_s: float = _PATIENCE_S) -> list[CheckedRun]:
        """What is true of them now; waits so many seconds for what is about to end."""
        paths = [run.directory.path for run, _ in (*self.open, *self.beside)]
        reader, end = RunReader(paths[0].parent), time.monotonic() + patience_s
        while True:
            checked = self._check(reader.read_some(paths))
            going_on = [run for run, resolved in checked if not resolved.is_over]
            if not going_on or time.monotonic() > end:
                self.notes += [note for note in self._states.notes if note not in self.notes]
                return checked
            for name in self._asked:
                again = [run for run in going_on if run.scheduler == name]
                with suppress(MlxpError):  # the next look will tell
                    if again:
                        self._cancel_jobs(name, again)
            time.sleep(_LOOK_S)


def _why_not(run: RunRecord, resolved: ResolvedStatus) -> str:
    """Why a run that may not be over cannot be ended from here; empty when it can, or is over."""
    host = run.info.get("hostname")
    unfinished = run.info.get("status") in (RunStatus.STARTING, RunStatus.RUNNING)
    if run.job_id is None and unfinished and host not in (None, socket.gethostname()):
        return f"it is a run of {host}: cancel it there"
    if resolved.is_over:
        return ""
    # In a copied directory the record names the job or process of the original. (A moved one has no original.)
    original = Path(run.recorded_as)
    if original.exists() and not original.samefile(run.path):
        return f"it is a copy of {original}, so cancel that run"
    if resolved.status == "NOT_SUBMITTED":
        return f"{resolved.reason}: end that first"
    if run.job_id is None and not run.info.get("start_time") and str(run.directory.script) not in running_scripts():
        return f"it waits in the program that launched it, process {run.info.get('process_id')}: end that one"
    return ""
