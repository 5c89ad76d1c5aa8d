"""The plan of one batch of a sweep."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from omegaconf import OmegaConf

from mlxp_core.config.override_grammar import OF_ONE_RUN, key_of, literal, override
from mlxp_core.jobs.app_command import AppCommand
from mlxp_core.jobs.function_job import END_OF_OVERRIDES, function_command, pickle_function
from mlxp_core.jobs.script import Job
from mlxp_core.launch.plan import Plan, PlannedRun
from mlxp_core.launch.run_files import remove_if_empty
from mlxp_core.paths import short_path
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import main_file
from mlxp_core.runs.reader import LOCAL
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.class_errors import class_name
from mlxp_core.schedulers.local import LocalScheduler
from mlxp_core.status.active_runs import check_not_running
from mlxp_core.sweeps.checks import JOB_CALLBACK, check_distinct, check_one_request
from mlxp_core.sweeps.sweep import SweepContext


def plan_runs(
    context: SweepContext[Any],
    scheduler: Scheduler | LocalScheduler,
    job_overrides: Sequence[tuple[str, ...]],
    *,
    first: int,
    directory: Path,
    waits: bool,
    undo: ExitStack,
    array_size: int = 1,
    after: tuple[str, ...] = (),
) -> Plan:
    """Plan the runs of one batch, and pickle the task function where no command line starts the application.

    With mlxp_logging this makes the run directories, because making one is what allocates its number.

    Args:
        context: The sweep.
        scheduler: Scheduler that will run the jobs.
        job_overrides: Overrides of each job.
        first: Number of the first job.
        directory: Directory of the launch, for the pickled task function.
        waits: Whether the launcher waits for the results, which the jobs then have to keep.
        undo: Gets the callbacks that remove the run directories again.
        array_size: Maximum number of jobs in one request.
        after: Ids of jobs that must finish before the first of these jobs starts.

    Raises:
        MlxpError: The runs cannot be launched.
    """
    check_one_request(job_overrides)
    app = context.app or function_command(directory, context.config)
    if not isinstance(scheduler, Scheduler) or scheduler.inherits_environment:
        app = replace(app, env_copy={})  # the script does not need their values, which may be secret
    common = _common_overrides(context)
    runs: list[PlannedRun] = []
    for number, overrides in enumerate(job_overrides, start=first):
        runs.append(_plan_run(context, app, common, overrides, number, waits=waits))
        undo.callback(remove_if_empty, runs[-1].directory)
    check_distinct(runs)
    old = [run.directory for run in runs if not run.is_new]
    check_not_running([directory.path for directory in old if os.path.lexists(directory.info)])
    for run in runs:
        scheduler.check(run.job)
    if context.app is None:
        pickle_function(directory, context.hydra_context, context.task_function, context.config)
    return Plan(
        scheduler=LOCAL if isinstance(scheduler, LocalScheduler) else class_name(type(scheduler)),
        options=context.plain_options | {"name": context.options.name},
        app=app,
        main_file=main_file(),
        version=context.version,
        settings=context.settings,
        started_in=context.started_in,
        array_size=array_size,
        runs=runs,
        after=after,
    )


def _plan_run(
    context: SweepContext[Any],
    app: AppCommand,
    common: tuple[str, ...],
    overrides: tuple[str, ...],
    number: int,
    *,
    waits: bool,
) -> PlannedRun:
    """Plan one run; see `plan_runs`. `common` are the overrides of all jobs."""
    # With mlxp_logging, the run directory is made here: in the resolver of ${mlxp_run_number:}
    sweep_dir, subdir, output_subdir = context.loader.job_paths(context.config, list(overrides), number)
    directory = RunDirectory(Path(os.path.normpath(os.path.join(sweep_dir, subdir))), output_subdir)
    keep_return = ["++hydra.callbacks.mlxp_job.keep_return=true"] if waits else []
    own = (f"hydra.job.num={number}", f"++hydra.callbacks.mlxp_job._target_={JOB_CALLBACK}", *keep_return)
    groups: tuple[tuple[str, ...], ...] = (overrides, (END_OF_OVERRIDES, *own))
    if context.app is not None:
        groups = (
            common,
            overrides,  # Hydra puts a sweep's overrides last, too
            ("hydra.mode=RUN", override("hydra.run.dir", literal(str(directory.path)))),
            (override("hydra.sweep.dir", literal(sweep_dir)), override("hydra.sweep.subdir", literal(subdir))),
            own,
        )
    job = Job(context.options.name, directory, app, groups)
    return PlannedRun(job, overrides, short_path(directory.path, context.started_in), directory.make())


def _common_overrides(context: SweepContext[Any]) -> tuple[str, ...]:
    """Return the overrides of all jobs: those of the sweep, without those that each job gets for itself."""
    # Callbacks may have extended the list. Not resolved, because an interpolation belongs to each job
    given = OmegaConf.to_container(context.config.hydra.overrides.hydra, resolve=False)
    return tuple(text for text in cast(list[str], given) if key_of(text) not in OF_ONE_RUN)
