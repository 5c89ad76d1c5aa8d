"""Sweeps on this machine: run the scripts, wait for them and return their results."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn

from mlxp_core import console
from mlxp_core.config.options import LocalOptions
from mlxp_core.errors import LaunchInterruptedError
from mlxp_core.jobs.job_return import read_result
from mlxp_core.launch.local import LocalLaunch
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
        # Number of runs of the batches so far that have finished
        self._finished = 0

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run one batch and return its results.

        Raises:
            MlxpError: Nothing is left of runs that were not started.
        """
        sweep = self.context.directory
        try:
            with sweep.removed_on_failure(), sweep.new_launch() as (directory, _):
                launch = self._write([tuple(overrides) for overrides in job_overrides], initial_job_idx, directory)
                if self.context.options.dry_run:
                    report_dry_run(launch.plan.runs)
                    return []
                return self._run(launch)
        except KeyboardInterrupt:
            before = f"{self._finished} {'run' if self._finished == 1 else 'runs'} had finished before that."
            raise LaunchInterruptedError(
                f"Interrupted. {before if self._finished else 'Nothing was started.'}"
            ) from None

    def _write(self, job_overrides: Sequence[tuple[str, ...]], first: int, directory: Path) -> LocalLaunch:
        """Plan the runs of one batch and write their files; after an error nothing is left of them."""
        with ExitStack() as undo:
            plan = plan_runs(
                self.context, self.scheduler, job_overrides, first=first, directory=directory, waits=True, undo=undo
            )
            launch = LocalLaunch(directory, plan, self.scheduler)
            undo.callback(launch.remove)
            launch.write()
            undo.pop_all()
        return launch

    def _run(self, launch: LocalLaunch) -> Sequence[JobReturn]:
        runs = launch.plan.runs
        results: dict[int, JobReturn] = {}
        title = f"{console.count(runs, 'run')} on this machine, {self.scheduler.n_jobs} at a time"
        ended = launch.run()
        try:
            with closing(ended), console.progress(title, len(runs)) as progress:
                for index, exit_status in ended:
                    run = runs[index]
                    results[index] = read_result(run.directory, exit_status, run.overrides)
                    progress.ended(f"{run.short_path}  {' '.join(run.overrides)}", succeeded=exit_status == 0)
        except KeyboardInterrupt:
            total = console.count(runs, "run")
            lines = [f"Interrupted: {len(results)} of {total} had finished. The running ones were stopped."]
            if self.scheduler.waiting:
                overrides = "; ".join(" ".join(runs[index].overrides) for index in self.scheduler.waiting)
                lines.append(f"Not started; launch these again: {overrides}")
            raise LaunchInterruptedError("\n".join(lines)) from None
        finally:
            launch.withdraw()
        self._finished += len(runs)
        ordered = [results[index] for index in range(len(runs))]
        report_failures(runs, ordered)
        return ordered
