"""A sweep on this machine, which waits for its runs and returns their results."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack, closing

from hydra.core.utils import JobReturn

from mlxp_core import console
from mlxp_core.config.options import LocalOptions
from mlxp_core.errors import LaunchInterruptedError
from mlxp_core.jobs.job_return import read_result
from mlxp_core.launch.plan import PlannedRun
from mlxp_core.launch.run_files import RunFiles
from mlxp_core.schedulers.local import LocalScheduler
from mlxp_core.sweeps.sweep import Sweep


class LocalSweep(Sweep):
    """A sweep on this machine, which waits for the runs and returns their results."""

    options_class = LocalOptions
    scheduler_class = LocalScheduler
    scheduler: LocalScheduler

    def _launch(self, job_overrides: Sequence[tuple[str, ...]], first: int) -> Sequence[JobReturn]:
        with ExitStack() as undo:
            directory = self.sweep_dir
            if self.app is None:
                directory = self._make_directory()
                undo.callback(shutil.rmtree, directory, ignore_errors=True)
            plan = self._plan(job_overrides, first, directory, undo)
            files = RunFiles(plan, self.scheduler_class.__name__, self.scheduler.script, waits_here=True)
            undo.callback(files.take_back, plan.runs)
            for run in plan.runs:
                files.write(run)
            undo.pop_all()
        if self.options.dry_run:
            self._say_dry_run(plan)
            return []
        return self._start(plan.runs, files)

    def _job_options(self) -> list[str]:
        return ["++hydra.callbacks.mlxp_job.keep_return=true"]

    def _start(self, runs: Sequence[PlannedRun], files: RunFiles) -> Sequence[JobReturn]:
        results: dict[int, JobReturn] = {}
        title = f"{console.count(runs, 'run')} on this machine, {self.scheduler.n_jobs} at a time"
        ended = self.scheduler.run([run.directory for run in runs])
        try:
            with closing(ended), console.progress(title, len(runs)) as progress:
                for index, exit_status in ended:
                    run = runs[index]
                    results[index] = read_result(run.directory, exit_status, run.overrides)
                    progress.ended(f"{run.label}  {' '.join(run.overrides)}", succeeded=exit_status == 0)
        except KeyboardInterrupt:
            missing = [runs[index] for index in self.scheduler.waiting]
            lines = [
                f"Interrupted: {console.count(results, 'run')} of {len(runs)} had ended, those that ran are ended."
            ]
            if missing:
                lines.append("Not started, launch them again: " + "; ".join(" ".join(run.overrides) for run in missing))
            raise LaunchInterruptedError("\n".join(lines)) from None
        finally:
            files.take_back([runs[index] for index in self.scheduler.waiting])
        return self._reported(runs, [results[index] for index in range(len(runs))])
