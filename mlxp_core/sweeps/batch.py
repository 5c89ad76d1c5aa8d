"""A sweep whose runs a batch scheduler takes: submit, and leave, or wait for their results."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from hydra.core.utils import JobReturn

from mlxp_core import console
from mlxp_core.config.options import BatchOptions
from mlxp_core.errors import OptionError
from mlxp_core.launch.launch import Launch
from mlxp_core.launch.submission_requests import check_array_options
from mlxp_core.schedulers import OARScheduler, Scheduler, SLURMScheduler
from mlxp_core.schedulers.class_errors import class_errors_reported, class_name
from mlxp_core.sweeps.sweep import Sweep
from mlxp_core.sweeps.wait import wait_for


class BatchSweep(Sweep):
    """A sweep whose runs a batch scheduler takes."""

    scheduler_class: type[Scheduler]
    scheduler: Scheduler
    options: BatchOptions

    def __init__(self, options: dict[str, Any], *, scheduler_class: type[Scheduler], **hydra: Any) -> None:
        self.scheduler_class, self.options_class = scheduler_class, scheduler_class.options_class
        with class_errors_reported(scheduler_class):
            super().__init__(options, **hydra)
            if not self.options.dry_run:
                self.scheduler.check_installed()
        if self.needs_results and self.options.wait is False:
            raise OptionError(
                f"The sweeper {self.sweeper} may need the results of its runs, and hydra.launcher.wait=false does not "
                "wait for them: leave that option out."
            )
        self.waits = self.needs_results if self.options.wait is None else self.options.wait
        if self.waits and not self.scheduler.implements("states_command", "states"):
            why = "hydra.launcher.wait=true" if self.options.wait else f"the sweeper {self.sweeper}"
            raise OptionError(
                f"Runs on {self.scheduler.title} cannot be waited for, as {why} asks: give "
                f"{class_name(self.scheduler_class)} the methods states_command and parse_states, or do not wait."
            )
        self._submitted: list[str] = []

    def _launch(self, job_overrides: Sequence[tuple[str, ...]], first: int) -> Sequence[JobReturn]:
        with class_errors_reported(self.scheduler_class):
            return self._submit(job_overrides, first)

    def _submit(self, job_overrides: Sequence[tuple[str, ...]], first: int) -> Sequence[JobReturn]:
        is_first = not self._launches
        size = check_array_options(self.scheduler, self.options, len(job_overrides), first=is_first)
        with ExitStack() as undo:
            directory = self._make_directory()
            undo.callback(shutil.rmtree, directory, ignore_errors=True)
            plan = self._plan(job_overrides, first, directory, undo, size)
            self.scheduler.check_script(directory / "1" / "script.sh")
            launch = Launch(directory, plan, self.scheduler)
            with launch.new() as lock:
                undo.pop_all()  # from here on the launch tidies up after itself
                launch.write()
                if self.options.dry_run:
                    self._say_dry_run(plan)
                    return []
                # A single run is shown whole; but not one of many batches, nor one whose end is what counts
                in_full = len(plan.runs) == 1 and is_first and not self.waits
                if in_full:
                    console.say(plan.runs[0].directory.script.read_text(encoding="utf-8"))
                else:
                    console.say(f"Submitting {console.count(plan.runs, 'run')} to {self.scheduler.title}:")
                launch.submit(lock, after=self._submitted if self.options.array_parallelism else (), in_full=in_full)
        self._submitted = [job_id for job_ids in launch.job_ids.values() for job_id in job_ids]
        if self.waits:
            return self._reported(plan.runs, self._wait_for(launch))
        console.say(
            f"\nSee the {console.plural(plan.runs, 'job')} with '{self.scheduler.list_command}'; each run's directory "
            "holds log.stdout, log.stderr and its state (info.yaml)."
        )
        return []

    def _wait_for(self, launch: Launch) -> Sequence[JobReturn]:
        try:
            with class_errors_reported(self.scheduler_class):
                return wait_for(launch)
        except OptionError as error:
            raise OptionError(f"{error}\nNobody waits for the runs any more; they are submitted, and stay.") from error

    def _job_options(self) -> list[str]:
        return ["++hydra.callbacks.mlxp_job.keep_return=true"] if self.waits else []


def slurm_sweep(options: dict[str, Any], **hydra: Any) -> BatchSweep:
    """The sweep of hydra/launcher=slurm."""
    return BatchSweep(options, scheduler_class=SLURMScheduler, **hydra)


def oar_sweep(options: dict[str, Any], **hydra: Any) -> BatchSweep:
    """The sweep of hydra/launcher=oar."""
    return BatchSweep(options, scheduler_class=OARScheduler, **hydra)
