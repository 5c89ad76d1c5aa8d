"""What a sweep prints about its runs."""

from __future__ import annotations

from collections.abc import Sequence

from hydra.core.utils import JobReturn, JobStatus

from mlxp_core import console
from mlxp_core.launch.plan import PlannedRun, run_ranges


def report_dry_run(runs: Sequence[PlannedRun]) -> None:
    """List the scripts that a dry run wrote."""
    console.say(f"Dry run: {console.count(runs, 'script')} written, nothing submitted:")
    for run in runs[: console.NAMED]:
        console.say(f"  {run.short_path}/{run.directory.script.name}  {' '.join(run.overrides)}")
    if len(runs) > console.NAMED:
        console.say(f"  and {len(runs) - console.NAMED} more: {run_ranges(runs[console.NAMED :])}")


def report_failures(runs: Sequence[PlannedRun], results: Sequence[JobReturn]) -> None:
    """List the logs of the runs that failed."""
    failed = [run for run, result in zip(runs, results, strict=True) if result.status is JobStatus.FAILED]
    if failed:
        console.say(f"{len(failed)} of {console.count(runs, 'run')} failed; see:")
        for run in failed:
            console.say(f"  {run.short_path}/{run.directory.stderr.name}")
