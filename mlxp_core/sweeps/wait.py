"""Wait for the runs of a launch: query all of them at once, and read each result from its run's directory."""

from __future__ import annotations

import re
import sys
import time
from collections import Counter
from typing import Any

from hydra.core.utils import JobReturn, JobStatus

from mlxp_core import console
from mlxp_core.errors import LaunchInterruptedError, RunRecordError, SchedulerUnavailableError
from mlxp_core.jobs.job_return import failed_result, read_result
from mlxp_core.launch.launch import Launch
from mlxp_core.launch.plan import PlannedRun
from mlxp_core.runs.info import RunStatus, read_info
from mlxp_core.schedulers.job_state import JobState
from mlxp_core.status.rules import ABSENCE_IGNORED_S, Basis, completed, status_from_job

# Time after the end of its job in which a run's last record may become visible here: NFS caches the attributes of a
# file for up to a minute (nfs(5), acregmax)
_RECORD_TIMEOUT_S = 60


def wait_for(launch: Launch) -> list[JobReturn]:
    """Wait until all runs of a launch have finished; return what each returned, in order, and nothing made up.

    A run has finished when its record says that it completed, or when its job has ended for good: a job that the
    scheduler requeues is followed. A scheduler that does not answer is asked again; so is one that does not list a job
    in the first minute.

    Raises:
        LaunchInterruptedError: The user stopped waiting. The jobs are not affected.
    """
    scheduler = launch.scheduler
    runs = launch.plan.runs
    pending = {
        index: _PendingRun(run, job_id, scheduler.title, shares_job=scheduler.options.runs_per_job > 1)
        for index, (run, job_id) in enumerate(zip(runs, launch.run_job_ids(), strict=True))
    }
    results: dict[int, JobReturn] = {}
    failures = 0
    try:
        with console.progress(f"{console.count(runs, 'run')} on {scheduler.title}", len(runs)) as progress:
            while pending:
                time.sleep(scheduler.options.poll_interval_s)
                job_ids = list(dict.fromkeys(run.job_id for run in pending.values()))
                try:
                    states: dict[str, JobState] | None = scheduler.states(job_ids)
                    failures = 0
                except SchedulerUnavailableError as error:
                    states = None
                    failures += 1
                    if failures == 2:  # the first time may be an accident
                        again = f"Asking again every {scheduler.options.poll_interval_s:g} s."
                        console.say(f"{error}\n  {again}", sys.stderr)
                for index, run in list(pending.items()):
                    result = run.result(states)
                    if result is not None:
                        del pending[index]
                        results[index] = result
                        line = f"{run.plan.short_path}  {' '.join(run.plan.overrides)}"
                        progress.ended(line, succeeded=result.status is JobStatus.COMPLETED)
                names = Counter(run.state for run in pending.values())
                progress.note(", ".join(f"{number} {name.lower()}" for name, number in sorted(names.items())))
    except KeyboardInterrupt:
        # An array as a whole: `8` for `8_0`
        left = sorted({re.sub(r"^(\d+)_\d+$", r"\1", run.job_id) for run in pending.values()})
        raise LaunchInterruptedError(
            f"Interrupted: {len(results)} of {console.count(runs, 'run')} had finished. The others are unaffected; to "
            f"cancel them: {scheduler.cancel_command} {' '.join(left)}"
        ) from None
    return [results[index] for index in range(len(runs))]


class _PendingRun:
    """A run that has not finished.

    Attributes:
        plan: The run.
        job_id: Its job.
        state: The last known state of the job.
    """

    def __init__(self, plan: PlannedRun, job_id: str, title: str, *, shares_job: bool) -> None:
        self.plan = plan
        self.job_id = job_id
        self.state = "PENDING"
        self._title = title
        self._shares_job = shares_job
        self._seen: tuple[int, ...] = ()
        self._info: dict[str, Any] = {}
        self._finished_since: float | None = None
        self._submitted = time.monotonic()

    def result(self, states: dict[str, JobState] | None) -> JobReturn | None:
        """Return the result of the run; None while it may still run.

        Args:
            states: States of all jobs that the scheduler knows; None if it did not answer.
        """
        state = None if states is None else states.get(self.job_id)
        if (state is None or state.is_inferred) and time.monotonic() - self._submitted < ABSENCE_IGNORED_S:
            state = states = None
        if state is not None:
            self.state = state.name
            if not state.has_started:
                return None
        self._read()
        resolved = status_from_job(
            self._info, state, answered=states is not None, title=self._title, shares_job=self._shares_job
        )
        if resolved.basis is Basis.RECORD and resolved.is_finished and (completed(self._info) or states is not None):
            return read_result(self.plan.directory, self._info.get("exit_status", 0), self.plan.overrides)
        if states is None or not resolved.is_finished:
            self._finished_since = None
            return None
        if resolved.basis is Basis.SCHEDULER:
            return self._failed(f"{resolved.status}: {resolved.reason}" if resolved.reason else resolved.status)
        exists = self.plan.directory.path.exists()
        self._finished_since = self._finished_since or time.monotonic()
        if exists and time.monotonic() - self._finished_since < _RECORD_TIMEOUT_S:
            return None
        if not exists:
            return self._failed("its directory no longer exists")
        if state is None and self._info.get("status") == RunStatus.STARTING:
            # SLURM removes a pending task that is cancelled from its array, and keeps no record of it
            return self._failed(f"{self._title} no longer knows its job, which never started: it was cancelled")
        return self._failed(resolved.reason if state is None else f"{state.name}, and {resolved.reason}")

    def _read(self) -> None:
        """Read the run's record if the file has changed."""
        try:
            stat = self.plan.directory.info.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen != self._seen:
                self._info = read_info(self.plan.directory.info)
                self._seen = seen
        except (OSError, RunRecordError):  # removed, or incomplete as seen from this machine: read again next time
            pass

    def _failed(self, reason: str) -> JobReturn:
        return failed_result(
            self.plan.overrides,
            f"Run {self.plan.directory.path} (job {self.job_id}) did not complete: {reason} (see "
            f"{self.plan.directory.stderr}).",
        )
