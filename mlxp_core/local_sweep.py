"""A sweep on this machine, which waits for its runs and returns their results."""

from __future__ import annotations

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
        results: dict[int, JobReturn] = {}
        title = f"{console.count(runs, 'run')} on this machine, {self.scheduler.n_jobs} at a time"
        with console.progress(title, len(runs)) as report:
            for index, exit_status in self.scheduler.run([run.job for run in runs], self.sweep_dir / ".submitit"):
                run = runs[index]
                results[index] = read_result(run.job.run, exit_status, run.overrides)
                report(f"{run.label}  {' '.join(run.overrides)}", exit_status == 0)
        failed = [run for index, run in enumerate(runs) if results[index].status is JobStatus.FAILED]
        if failed:
            console.say(f"{console.count(failed, 'run')} of {len(runs)} failed; see:")
            for run in failed:
                console.say(f"  {run.label}/{run.job.run.stderr.name}")
        return [results[index] for index in range(len(runs))]
