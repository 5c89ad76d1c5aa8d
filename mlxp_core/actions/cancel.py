"""Cancel runs: one request per scheduler, SIGTERM for processes on this machine."""

from __future__ import annotations

import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from mlxp_core.actions.selection import sharing_jobs
from mlxp_core.errors import MlxpError
from mlxp_core.runs.info import RunStatus
from mlxp_core.runs.reader import RunReader, RunRecord
from mlxp_core.runs.starts import is_alive_here
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.status.local_processes import end_processes, running_scripts
from mlxp_core.status.resolver import StatusResolver
from mlxp_core.status.rules import ResolvedStatus
from mlxp_core.status.scheduler_queries import scheduler_to_ask

# How long to wait for cancelled runs to end, and how often to check. SLURM gives a job 30 s (KillWait)
_END_TIMEOUT_S = 60
_CHECK_INTERVAL_S = 0.5
# How long to repeat a request that failed
_REPEAT_S = 15


class CheckedRun(NamedTuple):
    """A run and its present status."""

    run: RunRecord
    resolved: ResolvedStatus


class Cancellation:
    """Runs that the user wants to cancel.

    Args:
        runs: Runs of this user.

    Attributes:
        active: Runs that can be cancelled.
        finished: Runs that had already finished.
        blocked: Active runs that cannot be cancelled from here, each with the reason.
        sharing: Other active runs that share a job with one of `active`, and are cancelled with it.
        notes: Messages for the user about the schedulers' answers.
    """

    def __init__(self, runs: Sequence[RunRecord]) -> None:
        self._states = StatusResolver()
        self._schedulers: dict[str, Scheduler] = {}
        # Job ids that each scheduler was asked to cancel
        self._requested: dict[str, set[str]] = {}
        # Schedulers whose last request failed, and runs whose process could not be signalled
        self._failing: set[str] = set()
        self._refused: set[Path] = set()
        self.active: list[CheckedRun] = []
        self.finished: list[CheckedRun] = []
        self.blocked: list[tuple[RunRecord, str]] = []
        scripts = running_scripts()
        for run, resolved in self._check(runs):
            if reason := _why_not(run, resolved, scripts):
                self.blocked.append((run, reason))
            else:
                (self.finished if resolved.is_finished else self.active).append(CheckedRun(run, resolved))
        self.notes = list(self._states.notes)
        sharing = self._check(sharing_jobs([run for run, _ in self.active]))
        self.sharing = [checked for checked in sharing if not checked.resolved.is_finished]

    def _check(self, runs: Sequence[RunRecord]) -> list[CheckedRun]:
        return [CheckedRun(*pair) for pair in zip(runs, self._states.resolve(runs), strict=True)]

    def cancel(self) -> list[str]:
        """Cancel the active runs; return a message for each problem."""
        problems = self._cancel_jobs(self.active)
        scripts = running_scripts()
        for run, resolved in self.active:
            if resolved.jobs and (run.start is None or run.job_id in resolved.jobs):
                continue
            process_id = run.process.get("process_id")
            alive = is_alive_here(run.process) if run.start else False
            shell = next((scripts[script] for script in run.scripts if script in scripts), None)
            try:
                end_processes(shell, process_id if alive else None)
            except PermissionError:
                self._refused.add(run.directory.path)
                problems.append(f"{run.path} cannot be cancelled: its process belongs to another user.")
        return problems

    def _cancel_jobs(self, active: Sequence[CheckedRun]) -> list[str]:
        """Ask the schedulers to cancel the jobs of runs that they were not asked to cancel before.

        A run has several jobs if its script was submitted again. Returns a message for each problem.
        """
        problems = []
        by_scheduler: dict[str, list[CheckedRun]] = {}
        for checked in active:
            if checked.resolved.jobs and checked.run.scheduler is not None:
                by_scheduler.setdefault(checked.run.scheduler, []).append(checked)
        for name, runs in by_scheduler.items():
            requested = self._requested.setdefault(name, set())
            new = [
                job
                for job in dict.fromkeys(job for _, resolved in runs for job in resolved.jobs)
                if job not in requested
            ]
            try:
                if new:
                    self._scheduler(name, runs[0].run).cancel(new)
                    requested.update(new)
                self._failing.discard(name)
            except MlxpError as error:
                self._failing.add(name)
                problems.append(str(error))
        return problems

    def _scheduler(self, name: str, run: RunRecord) -> Scheduler:
        if name not in self._schedulers:
            self._schedulers[name] = scheduler_to_ask(name, run.launch)
        return self._schedulers[name]

    def timeout_s(self, checked: CheckedRun) -> float:
        """Return how many seconds `outcome` waits at most for a run to end: longer if its end was requested."""
        run, resolved = checked
        name = run.scheduler if resolved.jobs else None
        if run.directory.path in self._refused or (name in self._failing and name not in self._schedulers):
            return 0
        return _REPEAT_S if name in self._failing else _END_TIMEOUT_S

    def outcome(self) -> list[CheckedRun]:
        """Return the present statuses, after waiting for the runs to end; repeat requests that failed."""
        paths = [run.directory.path for run, _ in (*self.active, *self.sharing)]
        reader, start = RunReader(paths[0].parent), time.monotonic()
        while True:
            checked = self._check(reader.read_some(paths))
            active = [one for one in checked if not one.resolved.is_finished]
            waited = time.monotonic() - start
            if all(waited >= self.timeout_s(one) for one in active):
                self.notes += [note for note in self._states.notes if note not in self.notes]
                return checked
            self._cancel_jobs(active)  # the next check shows whether it worked
            time.sleep(_CHECK_INTERVAL_S)


def _why_not(run: RunRecord, resolved: ResolvedStatus, scripts: Mapping[str, int]) -> str:
    """Return why a run cannot be cancelled from here; empty if it can, or has finished.

    Args:
        run: The run.
        resolved: Its present status.
        scripts: The job scripts that run on this machine.
    """
    host = run.process.get("hostname")
    unfinished = run.info.get("status") in (RunStatus.STARTING, RunStatus.RUNNING)
    if not resolved.jobs and unfinished and host not in (None, socket.gethostname()):
        return f"it runs on {host}, so cancel it there"
    if resolved.is_finished:
        return ""
    # In a copied directory the record names the job or process of the original. (A moved one has no original.)
    original = Path(run.recorded_as)
    if original.exists() and not original.samefile(run.path):
        return f"it is a copy of {original}, so cancel that run"
    if resolved.status == "NOT_SUBMITTED":
        return f"{resolved.reason}; stop the launch first"
    if not resolved.jobs and run.start is None and not any(script in scripts for script in run.scripts):
        return f"it waits in the program that launched it, so stop process {run.process.get('process_id')}"
    return ""
