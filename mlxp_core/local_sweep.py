"""A sweep on this machine, which waits for its runs and returns their results."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus

from mlxp_core import console
from mlxp_core.options import LocalOptions
from mlxp_core.results import read_result
from mlxp_core.schedulers.local import LocalScheduler
from mlxp_core.sweep import Run, Sweep


class LocalSweep(Sweep):
    """A sweep on this machine, which waits for the runs and returns their results."""

    options_class = LocalOptions
    scheduler_class = LocalScheduler
    scheduler: LocalScheduler

    def _launch(self, runs: Sequence[Run]) -> Sequence[JobReturn]:
        by_job = {id(run.job): run for run in runs}
        results: dict[int, JobReturn] = {}
        title = f"{console.count(runs, 'run')} on this machine, {self.scheduler.n_jobs} at a time"
        with console.progress(title, len(runs)) as report:
            for job, exit_status in self.scheduler.run([run.job for run in runs], self.sweep_dir / ".submitit"):
                run = by_job[id(job)]
                results[id(job)] = read_result(job.run, exit_status, run.overrides)
                report(f"{run.label}  {' '.join(run.overrides)}", exit_status == 0)
        failed = [run for run in runs if results[id(run.job)].status is JobStatus.FAILED]
        if failed:
            console.say(f"{console.count(failed, 'run')} of {len(runs)} failed; see:")
            for run in failed:
                console.say(f"  {os.path.relpath(run.job.run.stderr)}")
        return [results[id(run.job)] for run in runs]
