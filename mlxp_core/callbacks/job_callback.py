"""Keep info.yaml up to date during a run, with a job script around it or without."""

from __future__ import annotations

import atexit
import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from mlxp_core.callbacks.first_process import keep_out, keeps_nothing, with_world_size
from mlxp_core.callbacks.hooks import in_job, run_directory, stops_hydra
from mlxp_core.callbacks.recorded_start import claim_run, job_id_of, keeps_record
from mlxp_core.config.effective import settings_in_force
from mlxp_core.config.settings_file import NO_SCHEDULER, Settings, settings_text
from mlxp_core.errors import AppCommandError, MlxpError
from mlxp_core.files import write_whole
from mlxp_core.jobs.app_command import current_app_command
from mlxp_core.jobs.script import RUN_MARKER
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import ended, main_file, new_info, read_info, started, write_info
from mlxp_core.runs.ranks import is_first_process
from mlxp_core.runs.rendezvous import set_run_of_children
from mlxp_core.runs.start_lock import release_lock
from mlxp_core.runs.starts import new_start, new_start_id, start_id, update_record
from mlxp_core.versioning.copy_usage import register_runs

log = logging.getLogger(__name__)

# The error of a run whose application neither returned nor raised an exception
_EXIT = {"type": "Exit", "message": "the program exited during the run, by sys.exit or an interrupt"}


class JobCallback(Callback):
    """Keep the record of a run in a job of our launchers; the command of every such job names this callback.

    Args:
        keep_return: Whether to store the JobReturn for a launch that waits for it.
    """

    def __init__(self, keep_return: bool = False) -> None:
        self.keep_return = keep_return
        # The start whose record this process keeps; None if it keeps none
        self.start: str | None = None
        self.process_id: int | None = None

    @stops_hydra
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not is_first_process(os.environ):
            keep_out(config, os.environ.get(RUN_MARKER))  # Lightning 1.x gives the working directory instead

    @stops_hydra
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not keeps_record(config):
            return
        self.start, self.process_id = start_id(), os.getpid()
        run, work_dir = run_directory(config), config.hydra.runtime.cwd
        info = read_info(run.info) or new_info(run, scheduler=None, work_dir=work_dir, main_file=main_file())
        info = started(info, work_dir, new_start(self.start, job_id_of(config)))
        write_info(run.info, with_world_size(_with_changed_files(info)))
        # Hydra 1.3 calls no hook after sys.exit. The script records the exit status, but not the modules
        atexit.register(_record_modules, run, self.start, self.process_id)

    @stops_hydra
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if self.start is None or os.getpid() != self.process_id or _exited(job_return):
            return
        run, start, error = run_directory(config), self.start, _error(job_return)

        def change(info: dict[str, Any]) -> dict[str, Any]:
            info = with_world_size(_with_modules(run, ended(info, error)))  # Lightning has started its processes by now
            # The script's last command finds its start here, and needs no Python to record exit status 0
            return info if error else {**info, "completed_start": start}

        if self.keep_return:
            from mlxp_core.jobs.job_return import write_result

            write_result(run, job_return)
        update_record(run.info, start, change)
        atexit.unregister(_record_modules)


class RecordingCallback(Callback):
    """Keep the record of runs without a job script: plain runs, and those of Hydra's and other people's launchers."""

    version: dict[str, Any] | None = None
    settings: str | None = None
    start: str | None = None
    process_id: int | None = None

    def keep_settings(self, config: DictConfig, settings: Settings) -> None:
        """Store the settings in force for the runs of this command, if this callback keeps their records."""
        self.settings = settings_text(settings_in_force(config, settings, {"name": NO_SCHEDULER}))

    def keeps_record(self, config: DictConfig) -> bool:
        """Return whether this callback, of several that could, keeps the record."""
        return not in_job(config)

    @stops_hydra
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if in_job(config):
            return
        run, work_dir = run_directory(config), config.hydra.runtime.cwd
        set_run_of_children(run.path)
        if keeps_nothing(run):
            return
        self.start, self.process_id = new_start_id(), os.getpid()
        claim_run(run, self.start, None)
        if self.keeps_record(config):
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
            info = started(new, work_dir, new_start(self.start, None))
            write_info(run.info, with_world_size(_with_changed_files(info)))
            if self.settings is not None:
                write_whole(run.settings, self.settings)
            # Hydra calls no hook after sys.exit or Ctrl-C
            atexit.register(_record_exit, run, self.start, self.process_id)

    @stops_hydra
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        set_run_of_children(None)
        if self.start is not None and self.keeps_record(config) and os.getpid() == self.process_id:
            run, error = run_directory(config), _error(job_return)
            update_record(run.info, self.start, lambda info: with_world_size(_with_modules(run, ended(info, error))))
            atexit.unregister(_record_exit)
            release_lock(run.lock)


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
def _record_exit(run: RunDirectory, start: str, process_id: int) -> None:
    if os.getpid() == process_id:
        with suppress(MlxpError):  # a full disk: on_job_end has said so
            update_record(run.info, start, lambda info: _with_modules(run, ended(info, _EXIT)))


def _record_modules(run: RunDirectory, start: str, process_id: int) -> None:
    if os.getpid() == process_id:
        with suppress(MlxpError):
            update_record(run.info, start, lambda info: _with_modules(run, info))


def _with_changed_files(info: dict[str, Any]) -> dict[str, Any]:
    if info.get("version_manager") is None:
        return info
    from mlxp_core.versioning.source_check import with_changed_files

    return with_changed_files(info)


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
