"""Keep info.yaml up to date during a run, with a job script around it or without."""

from __future__ import annotations

import atexit
import logging
import os
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from mlxp_core.callbacks.hooks import in_job, run_directory, stops_hydra
from mlxp_core.config.effective import settings_in_force
from mlxp_core.config.settings_file import NO_SCHEDULER, Settings, settings_text
from mlxp_core.errors import AppCommandError
from mlxp_core.files import write_whole
from mlxp_core.jobs.app_command import current_app_command
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import ended, main_file, new_info, read_info, started, write_info
from mlxp_core.versioning.copy_usage import register_runs

log = logging.getLogger(__name__)

# The error of a run whose application neither returned nor raised an exception
_EXIT = {"type": "Exit", "message": "the program exited during the run, by sys.exit or an interrupt"}


class JobCallback(Callback):
    """Keep the record of a run in a job of our launchers; the command of every such job names this callback.

    Args:
        task: Index of the task in the job; only task 0 writes the record.
        keep_return: Whether to store the JobReturn for a launch that waits for it.
    """

    def __init__(self, task: int | str = 0, keep_return: bool = False) -> None:
        self.is_first_task = int(task) == 0
        self.keep_return = keep_return
        self.process_id: int | None = None

    @stops_hydra
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if self.is_first_task:
            self.process_id = os.getpid()
            run, work_dir = run_directory(config), config.hydra.runtime.cwd
            info = read_info(run.info) or new_info(run, scheduler=None, work_dir=work_dir, main_file=main_file())
            job_id = config.hydra.job.id
            info["scheduler"]["scheduler_job_id"] = None if job_id == "by-hand" else job_id
            write_info(run.info, started(info, work_dir))
            # Hydra 1.3 calls no hook after sys.exit. The script records the exit status, but not the modules
            atexit.register(_record_modules, run, self.process_id)

    @stops_hydra
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if self.is_first_task and not _exited(job_return) and os.getpid() == self.process_id:
            run = run_directory(config)
            if self.keep_return:
                from mlxp_core.jobs.job_return import write_result

                write_result(run, job_return)
            write_info(run.info, _with_modules(run, ended(read_info(run.info), _error(job_return))))
            atexit.unregister(_record_modules)


class RecordingCallback(Callback):
    """Keep the record of runs without a job script: plain runs, and those of Hydra's and other people's launchers."""

    version: dict[str, Any] | None = None
    settings: str | None = None
    process_id: int | None = None

    def keep_settings(self, config: DictConfig, settings: Settings) -> None:
        """Store the settings in force for the runs of this command, if this callback keeps their records."""
        self.settings = settings_text(settings_in_force(config, settings, {"name": NO_SCHEDULER}))

    def keeps_record(self, config: DictConfig) -> bool:
        """Return whether this callback, of several that could, keeps the record."""
        return not in_job(config)

    @stops_hydra
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if self.keeps_record(config):
            self.process_id = os.getpid()
            run, work_dir = run_directory(config), config.hydra.runtime.cwd
            try:
                app = current_app_command(config)
            except AppCommandError:  # no command line can start it
                app = None
            new = new_info(
                run,
                scheduler=None,
                work_dir=work_dir,
                main_file=main_file(),
                command=app.argv if app else None,
                environment=app.environment if app else None,
                version=self.version,
            )
            register_runs(self.version, run.path.parent)
            write_info(run.info, started(new, work_dir))
            if self.settings is not None:
                write_whole(run.settings, self.settings)
            # Hydra calls no hook after sys.exit or Ctrl-C
            atexit.register(_record_exit, run, self.process_id)

    @stops_hydra
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if self.keeps_record(config) and os.getpid() == self.process_id:
            run = run_directory(config)
            write_info(run.info, _with_modules(run, ended(read_info(run.info), _error(job_return))))
            atexit.unregister(_record_exit)


def _exited(job_return: JobReturn) -> bool:
    """Return whether the application exited, by sys.exit or Ctrl-C, instead of returning or raising an exception."""
    # not .return_value, which prints the exception and raises it
    return job_return.status is JobStatus.FAILED and not isinstance(job_return._return_value, Exception)


def _error(job_return: JobReturn) -> dict[str, str] | None:
    error = job_return._return_value
    if job_return.status is JobStatus.COMPLETED or (isinstance(error, SystemExit) and not error.code):
        return None
    return _EXIT if _exited(job_return) else {"type": type(error).__name__, "message": str(error)}


# A process that the application forked has inherited these functions, and ends by sys.exit while the run continues
def _record_exit(run: RunDirectory, process_id: int) -> None:
    if os.getpid() == process_id:
        write_info(run.info, _with_modules(run, ended(read_info(run.info), _EXIT)))


def _record_modules(run: RunDirectory, process_id: int) -> None:
    if os.getpid() != process_id:
        return
    info = read_info(run.info)
    noted = _with_modules(run, info)
    if noted is not info:
        write_info(run.info, noted)


def _with_modules(run: RunDirectory, info: dict[str, Any]) -> dict[str, Any]:
    """Add the modules that were not loaded from the safe copy to a record, and warn about them."""
    version = info.get("version_manager")
    if version is None or version["safe_copy"] is None:
        return info
    from mlxp_core.versioning.source_roots import loaded_from

    modules = loaded_from(Path(version["repo_path"]), Path(version["safe_copy"]))
    if not modules:
        return info
    log.warning(
        "%s: modules were loaded from %s, not from the safe copy of commit %s: %s. They may have been edited since.",
        run.path,
        version["repo_path"],
        version["commit_hash"],
        ", ".join(modules),
    )
    return {**info, "version_manager": {**version, "loaded_from_repository": modules}}
