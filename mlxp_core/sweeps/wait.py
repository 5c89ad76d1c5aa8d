"""Waiting for the runs of a launch: one query for all of them at a time, and each result from its run's directory."""

from __future__ import annotations

import re
import time
from collections import Counter
from typing import Any

import yaml
from hydra.core.utils import JobReturn, JobStatus

from mlxp_core import console
from mlxp_core.errors import LaunchInterruptedError, SchedulerUnavailableError
from mlxp_core.jobs.job_return import failed_result, read_result
from mlxp_core.launch.launch import Launch
from mlxp_core.launch.plan import PlannedRun
from mlxp_core.runs.info import RunStatus, read_info
from mlxp_core.schedulers.job_state import JobState
from mlxp_core.status.rules import Basis, completed, status_from_job

# How long after the end of its job a run's last words may take to be seen here: NFS keeps what it knows of a file for
# up to a minute (nfs(5), acregmax)
_GRACE_S = 60


def wait_for(launch: Launch) -> list[JobReturn]:
    """Wait until all runs of a launch are over; return what each returned, in order, and nothing invented.

    A run is over when its own record says that it completed, or when its job is over for good: a job that the
    scheduler starts again is followed. A scheduler that does not answer is asked again.

    Raises:
        LaunchInterruptedError: the user interrupted the waiting; the jobs stay.
    """
    scheduler = launch.scheduler
    runs = launch.plan.runs
    waiting = {
        index: _PendingRun(run, job_id, scheduler.title, shares_job=scheduler.options.runs_per_job > 1)
        for index, (run, job_id) in enumerate(zip(runs, launch.run_job_ids(), strict=True))
    }
    results: dict[int, JobReturn] = {}
    unavailable = ""
    try:
        with console.progress(f"{console.count(runs, 'run')} on {scheduler.title}", len(runs)) as progress:
            while waiting:
                time.sleep(scheduler.options.poll_interval_s)
                try:
                    job_ids = list(dict.fromkeys(watched.job_id for watched in waiting.values()))
                    states: dict[str, JobState] | None = scheduler.states(job_ids)
                    unavailable = ""
                except SchedulerUnavailableError as error:
                    states = None
                    if str(error) != unavailable:
                        unavailable = str(error)
                        progress.say(f"{error}\n  Asking again, every {scheduler.options.poll_interval_s:g} s.")
                for index, watched in list(waiting.items()):
                    result = watched.result(states)
                    if result is not None:
                        del waiting[index]
                        results[index] = result
                        line = f"{watched.run.label}  {' '.join(watched.run.overrides)}"
                        progress.ended(line, succeeded=result.status is JobStatus.COMPLETED)
                names = Counter(watched.state for watched in waiting.values())
                progress.note(", ".join(f"{number} {name.lower()}" for name, number in sorted(names.items())))
    except KeyboardInterrupt:
        # An array whole: `8` for `8_0`
        left = sorted({re.sub(r"^(\d+)_\d+$", r"\1", watched.job_id) for watched in waiting.values()})
        raise LaunchInterruptedError(
            f"Interrupted: {console.count(results, 'run')} of {len(runs)} had ended. The others stay with "
            f"{scheduler.title}; to end them: {scheduler.cancel_command} {' '.join(left)}"
        ) from None
    return [results[index] for index in range(len(runs))]


class _PendingRun:
    """One run that is waited for."""

    def __init__(self, run: PlannedRun, job_id: str, title: str, *, shares_job: bool) -> None:
        self.run = run
        self.job_id = job_id
        self.state = "PENDING"
        self._title = title
        self._shares_job = shares_job
        self._seen: tuple[int, ...] = ()
        self._info: dict[str, Any] = {}
        self._over_since: float | None = None

    def result(self, states: dict[str, JobState] | None) -> JobReturn | None:
        """What the run returned; None while it may go on.

        Args:
            states: of all jobs that the scheduler knows; None when it did not answer.
        """
        state = None if states is None else states.get(self.job_id)
        if state is not None:
            self.state = state.name
            if not state.has_started:
                return None
        self._read()
        resolved = status_from_job(
            self._info, state, answered=states is not None, title=self._title, shares_job=self._shares_job
        )
        if resolved.basis is Basis.RECORD and resolved.is_finished and (completed(self._info) or states is not None):
            return read_result(self.run.directory, self._info.get("exit_status", 0), self.run.overrides)
        if states is None or not resolved.is_finished:
            self._over_since = None
            return None
        if resolved.basis is Basis.SCHEDULER:
            return self._failed(f"{resolved.status}: {resolved.reason}" if resolved.reason else resolved.status)
        self._over_since = self._over_since or time.monotonic()
        if time.monotonic() - self._over_since < _GRACE_S and self.run.directory.path.exists():
            return None
        if not self.run.directory.path.exists():
            return self._failed("its directory is gone")
        if state is None and self._info.get("status") == RunStatus.STARTING:
            # SLURM drops a task that is cancelled while it waits from its array, and keeps no word of it
            return self._failed(f"{self._title} has its job no more, which never started: it was cancelled meanwhile")
        return self._failed(resolved.reason if state is None else f"{state.name}, and {resolved.reason}")

    def _read(self) -> None:
        """Read the run's record, if it is another than the last time."""
        try:
            stat = self.run.directory.info.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen != self._seen:
                self._info = read_info(self.run.directory.info)
                self._seen = seen
        except (OSError, yaml.YAMLError):  # gone, or not whole yet on this machine: the next time will tell
            pass

    def _failed(self, reason: str) -> JobReturn:
        return failed_result(
            self.run.overrides,
            f"Run {self.run.directory.path} (job {self.job_id}) was ended: {reason} (see {self.run.directory.stderr}).",
        )
