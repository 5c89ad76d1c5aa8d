"""A sweep on this machine, which waits for its runs and returns their results."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from hydra.core.utils import JobReturn, JobStatus

from mlxp_core import console
from mlxp_core.errors import LaunchInterruptedError
from mlxp_core.options import LocalOptions
from mlxp_core.results import read_result
from mlxp_core.schedulers.local import LocalScheduler
from mlxp_core.sweep import Run, Sweep


class LocalSweep(Sweep):
    """A sweep on this machine, which waits for the runs and returns their results."""

    options_class = LocalOptions
    scheduler_class = LocalScheduler
    scheduler: LocalScheduler

    def _start(self, runs: Sequence[Run]) -> Sequence[JobReturn]:
        results: dict[int, JobReturn] = {}
        title = f"{console.count(runs, 'run')} on this machine, {self.scheduler.n_jobs} at a time"
        self.sweep_dir.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".submitit-", dir=self.sweep_dir))
        try:
            with console.progress(title, len(runs)) as report:
                for index, exit_status in self.scheduler.run([run.job for run in runs], folder):
                    run = runs[index]
                    results[index] = read_result(run.job.run, exit_status, run.overrides)
                    report(f"{run.label}  {' '.join(run.overrides)}", exit_status == 0)
        except KeyboardInterrupt:
            missing = [runs[index] for index in self.scheduler.waiting]
            lines = [
                f"Interrupted: {console.count(results, 'run')} of {len(runs)} had ended, those that ran are ended."
            ]
            if missing:
                lines.append("Not started, launch them again: " + "; ".join(" ".join(run.overrides) for run in missing))
            raise LaunchInterruptedError("\n".join(lines)) from None
        finally:
            self._launched |= len(self.scheduler.waiting) < len(runs)
            self._discard([runs[index] for index in self.scheduler.waiting])
        failed = [run for index, run in enumerate(runs) if results[index].status is JobStatus.FAILED]
        if failed:
            console.say(f"{console.count(failed, 'run')} of {len(runs)} failed; see:")
            for run in failed:
                console.say(f"  {run.label}/{run.job.run.stderr.name}")
        return [results[index] for index in range(len(runs))]
