"""One call of the local launcher on disk: the plan is written, then each run is recorded just before it starts.

The directory is like that of a launch on a batch scheduler, without requests. `mlxp resume` starts the runs that a
killed launch has not started.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from mlxp_core import console
from mlxp_core.config.options import LocalOptions, read_options
from mlxp_core.errors import LaunchInterruptedError, OptionError, RunDirectoryError
from mlxp_core.launch.plan import PLAN, Plan, PlannedRun, run_ranges
from mlxp_core.launch.run_files import RunFiles
from mlxp_core.runs.info import now
from mlxp_core.runs.journal import SUBMISSIONS, append_entries
from mlxp_core.runs.reader import RunReader
from mlxp_core.schedulers.local import LocalScheduler
from mlxp_core.status.resolver import StatusResolver


class LocalLaunch:
    """A launch on this machine.

    Attributes:
        directory: Directory of the launch, locked by this process.
        plan: Its plan.
        scheduler: Starts the runs.
        skipped: Number of runs that `resume` skipped.
    """

    def __init__(self, directory: Path, plan: Plan, scheduler: LocalScheduler) -> None:
        self.directory = directory
        self.plan = plan
        self.scheduler = scheduler
        self.skipped = 0
        self._files = RunFiles(directory, plan, LocalScheduler.__name__, scheduler.script, waits_here=True)

    def write(self) -> None:
        """Write everything, beginning with the plan.

        Raises:
            RunDirectoryError: A file cannot be written.
        """
        self.plan.write(self.directory / PLAN)
        for run in self.plan.runs:
            self._files.write(run)

    def remove(self) -> None:
        """Remove a launch of which no run has started, and restore the directories of its runs."""
        (self.directory / PLAN).unlink(missing_ok=True)
        self._files.restore(self.plan.runs)
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self) -> Generator[tuple[int, int], None, None]:
        """Return a generator that runs all runs; see `LocalScheduler.run`."""
        return self.scheduler.run([run.directory for run in self.plan.runs], self._record_start)

    def withdraw(self) -> list[PlannedRun]:
        """Remove the runs that have not started from the launch, and return them; their directories are restored."""
        waiting = set(self.scheduler.waiting)
        left = [run for index, run in enumerate(self.plan.runs) if index in waiting]
        started = [run for index, run in enumerate(self.plan.runs) if index not in waiting]
        if not started:
            self.remove()
        elif left:
            with suppress(RunDirectoryError):  # a full disk
                replace(self.plan, runs=started).write(self.directory / PLAN)
            self._files.restore(left)
        return left

    def resume(self) -> int:
        """Run what a killed process has not started, and wait for it; return the number of runs.

        Raises:
            LaunchInterruptedError: The user interrupted it. `mlxp resume` starts the rest.
        """
        runs = self._unstarted()
        if not runs:
            return 0
        launch = LocalLaunch(self.directory, replace(self.plan, runs=runs), self.scheduler)
        for run in runs:
            launch._files.write(run)
        title = f"{console.count(runs, 'run')} on this machine, {self.scheduler.n_jobs} at a time"
        failed: list[PlannedRun] = []
        try:
            with closing(launch.run()) as ended, console.progress(title, len(runs)) as progress:
                for index, exit_status in ended:
                    run = runs[index]
                    failed += [run] if exit_status else []
                    progress.ended(f"{run.short_path}  {' '.join(run.overrides)}", succeeded=not exit_status)
        except KeyboardInterrupt:
            waiting = [runs[index] for index in self.scheduler.waiting]
            rest = f" Not started: {run_ranges(waiting)}. 'mlxp resume' starts them." if waiting else ""
            raise LaunchInterruptedError(f"Interrupted. The running runs were stopped.{rest}") from None
        if failed:
            console.say(f"{len(failed)} of {console.count(runs, 'run')} failed: {run_ranges(failed)}.")
        return len(runs)

    def _unstarted(self) -> list[PlannedRun]:
        """Return the runs that have not started, and that no process waits to start."""
        paths = [run.directory.path for run in self.plan.runs]
        if not paths[0].parent.is_dir():  # moved or deleted
            console.say(f"{self.directory}: its runs are skipped, because {paths[0].parent} no longer exists.")
            self.skipped = len(paths)
            return []
        records = RunReader(paths[0].parent).read_some(paths)
        resolved = StatusResolver().resolve(records)
        found: list[PlannedRun] = []
        for run, record, status in zip(self.plan.runs, records, resolved, strict=True):
            is_last = record.launch is not None and record.launch.directory.samefile(self.directory)
            if not (is_last and record.is_unsubmitted):
                continue
            if record.info and status.status != "NOT_SUBMITTED":
                self.skipped += 1
                console.say(f"{run.short_path} is skipped: {status.reason or status.status}.")
            else:
                found.append(run)
        return found

    def _record_start(self, index: int, job_id: str) -> None:
        """Record in the sweep's journal that a run is about to start.

        Raises:
            OSError: The journal cannot be written.
        """
        entry = {
            "run": str(self.plan.runs[index].directory.path),
            "job_id": job_id,
            "scheduler": LocalScheduler.__name__,
            "at": now(),
            "launch": self.directory.name,
        }
        append_entries(self.directory.parent / SUBMISSIONS, [entry])


def local_launch(directory: Path, plan: Plan) -> LocalLaunch:
    """Return a launch of which only the plan is known.

    Raises:
        OptionError: The plan has options that this version does not have, or another user wrote it.
    """
    if plan.foreign:
        raise OptionError(f"{plan.foreign}, so none of its runs was started. Only the owner can do this.")
    return LocalLaunch(directory, plan, LocalScheduler(read_options(LocalOptions, dict(plan.options))))
