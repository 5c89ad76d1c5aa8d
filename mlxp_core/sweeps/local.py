"""Sweeps on this machine: run the scripts, wait for them and return their results."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack, closing
from typing import Any

from hydra.core.utils import JobReturn

from mlxp_core import console
from mlxp_core.config.options import LocalOptions
from mlxp_core.errors import LaunchInterruptedError
from mlxp_core.jobs.job_return import read_result
from mlxp_core.launch.plan import Plan, PlannedRun
from mlxp_core.launch.run_files import RunFiles
from mlxp_core.schedulers.local import LocalScheduler
from mlxp_core.sweeps.planner import plan_runs
from mlxp_core.sweeps.report import report_dry_run, report_failures
from mlxp_core.sweeps.sweep import set_up_sweep


class LocalSweep:
    """A sweep on this machine.

    Args:
        options: Launcher options, as Hydra passes them.
        **hydra: Arguments of the launcher's `setup`.

    Raises:
        MlxpError: The sweep cannot be launched. Nothing has been written.
    """

    def __init__(self, options: dict[str, Any], **hydra: Any) -> None:
        self.context = set_up_sweep(options, LocalOptions, LocalScheduler, **hydra)
        self.scheduler = LocalScheduler(self.context.options)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one batch and return its results.

        Raises:
            MlxpError: Nothing is left of runs that were not started.
        """
        with self.context.directory.removed_on_failure(), ExitStack() as undo:
            plan, files = self._write([tuple(overrides) for overrides in job_overrides], initial_job_idx, undo)
            if self.context.options.dry_run:
                undo.pop_all()
                report_dry_run(plan.runs)
                return []
            return self._start(plan.runs, files, undo)

    def _write(self, job_overrides: Sequence[tuple[str, ...]], first: int, undo: ExitStack) -> tuple[Plan, RunFiles]:
        """Plan the runs of one batch and write their files; `undo` gets the callbacks that remove them again."""
        context, scheduler = self.context, self.scheduler
        directory = context.directory.path
        if context.app is None:
            directory = context.directory.make_launch_directory()
            undo.callback(shutil.rmtree, directory, ignore_errors=True)
        plan = plan_runs(context, scheduler, job_overrides, first=first, directory=directory, waits=True, undo=undo)
        files = RunFiles(plan, LocalScheduler.__name__, scheduler.script, waits_here=True)
        undo.callback(files.restore, plan.runs)
        for run in plan.runs:
            files.write(run)
        return plan, files

    def _start(self, runs: Sequence[PlannedRun], files: RunFiles, undo: ExitStack) -> Sequence[JobReturn]:
        results: dict[int, JobReturn] = {}
        title = f"{console.count(runs, 'run')} on this machine, {self.scheduler.n_jobs} at a time"
        ended = self.scheduler.run([run.directory for run in runs])
        try:
            undo.pop_all()  # from here on, only runs that have not started are removed again
            with closing(ended), console.progress(title, len(runs)) as progress:
                for index, exit_status in ended:
                    run = runs[index]
                    results[index] = read_result(run.directory, exit_status, run.overrides)
                    progress.ended(f"{run.short_path}  {' '.join(run.overrides)}", succeeded=exit_status == 0)
        except KeyboardInterrupt:
            missing = [runs[index] for index in self.scheduler.waiting]
            total = console.count(runs, "run")
            lines = [f"Interrupted: {len(results)} of {total} had finished. The running ones were stopped."]
            if missing:
                overrides = "; ".join(" ".join(run.overrides) for run in missing)
                lines.append(f"Not started; launch these again: {overrides}")
            raise LaunchInterruptedError("\n".join(lines)) from None
        finally:
            files.restore([runs[index] for index in self.scheduler.waiting])
        ordered = [results[index] for index in range(len(runs))]
        report_failures(runs, ordered)
        return ordered
