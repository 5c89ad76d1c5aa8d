"""Sweeps on batch schedulers: submit the runs, then exit or wait for their results."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from hydra.core.utils import JobReturn

from mlxp_core import console
from mlxp_core.config.options import BatchOptions
from mlxp_core.errors import LaunchInterruptedError, MlxpError, OptionError
from mlxp_core.launch.launch import NOTHING_SUBMITTED, Launch
from mlxp_core.launch.submission_requests import check_array_options
from mlxp_core.schedulers import OARScheduler, Scheduler, SLURMScheduler
from mlxp_core.schedulers.class_errors import class_errors_reported, class_name
from mlxp_core.sweeps.planner import plan_runs
from mlxp_core.sweeps.report import report_dry_run, report_failures
from mlxp_core.sweeps.sweep import SweepContext, set_up_sweep
from mlxp_core.sweeps.wait import wait_for


class BatchSweep:
    """A sweep on a batch scheduler.

    Args:
        options: Launcher options, as Hydra passes them.
        scheduler_class: Class of the scheduler.
        **hydra: Arguments of the launcher's `setup`.

    Raises:
        MlxpError: The sweep cannot be launched. Nothing has been written.
    """

    def __init__(self, options: dict[str, Any], *, scheduler_class: type[Scheduler], **hydra: Any) -> None:
        with class_errors_reported(scheduler_class):
            self.context: SweepContext[BatchOptions] = set_up_sweep(
                options, scheduler_class.options_class, scheduler_class, **hydra
            )
            self.scheduler = scheduler_class(self.context.options)
            if not self.context.options.dry_run:
                self.scheduler.check_installed()
        self.waits = _waits(self.context, self.scheduler)
        # The launches of the batches so far; what they have submitted is not affected by a later error
        self._launches: list[Launch] = []

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Submit the runs of one batch, and wait for them if their results are needed.

        Raises:
            MlxpError: Nothing is left of runs that were not submitted, or the message says how to submit them.
        """
        try:
            with self.context.directory.removed_on_failure(), class_errors_reported(type(self.scheduler)):
                launch = self._submit([tuple(overrides) for overrides in job_overrides], initial_job_idx)
                if self.context.options.dry_run:
                    return []
                if self.waits:
                    results = self._wait_for(launch)
                    report_failures(launch.plan.runs, results)
                    return results
                console.say(
                    f"\nSee the {console.plural(launch.plan.runs, 'job')} with '{self.scheduler.list_command}'; each "
                    "run's directory holds log.stdout, log.stderr and its state (info.yaml)."
                )
                return []
        except KeyboardInterrupt:
            number = self._submitted_runs
            submitted = f"{number} {'run' if number == 1 else 'runs'} submitted. These jobs are unaffected."
            raise LaunchInterruptedError(f"Interrupted. {submitted if number else NOTHING_SUBMITTED}") from None

    @property
    def _submitted_runs(self) -> int:
        """The number of runs that the batches so far have submitted."""
        return sum(launch.submitted for launch in self._launches)

    def _submit(self, job_overrides: Sequence[tuple[str, ...]], first: int) -> Launch:
        """Plan, write and submit the runs of one batch.

        Raises:
            MlxpError: As `launch`; the message counts the runs of earlier batches.
        """
        before = self._submitted_runs
        try:
            return self._submit_batch(job_overrides, first)
        except MlxpError as error:
            if not before:
                raise
            raise type(error)(
                f"{error}\n{before} {'run' if before == 1 else 'runs'} had been submitted before that."
            ) from error

    def _submit_batch(self, job_overrides: Sequence[tuple[str, ...]], first: int) -> Launch:
        """Plan, write and submit the runs of one batch; a dry run only writes them."""
        context, scheduler, options = self.context, self.scheduler, self.context.options
        is_first = not context.directory.launches
        is_followed = context.config.hydra.sweeper.get("max_batch_size") == len(job_overrides)
        size = check_array_options(
            scheduler,
            options,
            len(job_overrides),
            first=is_first,
            concurrent_batches=not self.waits and (is_followed or not is_first),
        )
        is_limited = bool(options.array_parallelism and self._launches and not self.waits)
        with context.directory.new_launch() as (directory, lock), ExitStack() as undo:
            plan = plan_runs(
                context,
                scheduler,
                job_overrides,
                first=first,
                directory=directory,
                waits=self.waits,
                undo=undo,
                array_size=size,
                after=self._launches[-1].last_job_ids if is_limited else (),
            )
            scheduler.check_script(directory / "1" / "script.sh")
            launch = Launch(directory, plan, scheduler, submitted_before=self._submitted_runs)
            with launch.removed_on_failure():
                undo.pop_all()  # from here on the launch cleans up after itself
                self._launches.append(launch)
                launch.write()
                if options.dry_run:
                    report_dry_run(plan.runs)
                    return launch
                # Show a single run in full, unless it is one of many batches, or only its result is of interest
                verbatim = len(plan.runs) == 1 and is_first and not self.waits
                if verbatim:
                    console.say(plan.runs[0].directory.script.read_text(encoding="utf-8"))
                else:
                    console.say(f"Submitting {console.count(plan.runs, 'run')} to {scheduler.title}:")
                launch.submit(lock, verbatim=verbatim)
        return launch

    def _wait_for(self, launch: Launch) -> Sequence[JobReturn]:
        try:
            with class_errors_reported(type(self.scheduler)):
                return wait_for(launch)
        except OptionError as error:
            raise OptionError(f"{error}\nNo longer waiting for results. The submitted runs are unaffected.") from error


def _waits(context: SweepContext[BatchOptions], scheduler: Scheduler) -> bool:
    """Return whether to wait for the results of the runs.

    Raises:
        OptionError: The options exclude it, or the scheduler's class does not support it.
    """
    if context.needs_results and context.options.wait is False:
        raise OptionError(
            f"The sweeper {context.sweeper} may need the results of its runs, and hydra.launcher.wait=false does not "
            "wait for them. Remove that option."
        )
    waits = context.needs_results if context.options.wait is None else context.options.wait
    if waits and not scheduler.can_query_states:
        reason = "hydra.launcher.wait=true" if context.options.wait else f"The sweeper {context.sweeper}"
        raise OptionError(
            f"{reason} requires waiting for runs, but {class_name(type(scheduler))} does not implement states_command "
            "and parse_states. Add these methods, or do not wait."
        )
    return waits


def slurm_sweep(options: dict[str, Any], **hydra: Any) -> BatchSweep:
    """Return the sweep of hydra/launcher=slurm."""
    return BatchSweep(options, scheduler_class=SLURMScheduler, **hydra)


def oar_sweep(options: dict[str, Any], **hydra: Any) -> BatchSweep:
    """Return the sweep of hydra/launcher=oar."""
    return BatchSweep(options, scheduler_class=OARScheduler, **hydra)
