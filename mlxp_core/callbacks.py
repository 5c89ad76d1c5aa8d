"""Our Hydra callbacks, and the one place that turns our errors into SystemExit.

Hydra swallows any other exception of a callback and goes on (a UserWarning is all that is seen of it).
"""

from __future__ import annotations

import atexit
import os
import time
import traceback
from collections.abc import Callable
from functools import wraps
from inspect import signature
from pathlib import Path
from typing import Any, TypeVar, cast

from hydra.core.utils import JobReturn, JobStatus
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mlxp_core.errors import MlxpError, OptionError
from mlxp_core.overrides import literal, override
from mlxp_core.results import write_result
from mlxp_core.run_directory import RunDirectory, allocate_run, check_writable, open_run
from mlxp_core.run_info import ended, new_info, read_info, started, write_info

Hook = TypeVar("Hook", bound=Callable[..., None])

OUTPUT_SUBDIR = "metadata"

_LEFT = {"type": "Exit", "message": "the program left during the run, by sys.exit or an interrupt"}


def stops_hydra(hook: Hook) -> Hook:
    """Make every error of a callback's hook end the program, with exit status 1 and a message."""

    @wraps(hook)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            hook(*args, **kwargs)
        except MlxpError as error:
            raise SystemExit(str(error)) from error
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(f"hydra-mlxp stopped in {hook.__qualname__}, please report this: {error}") from error

    return cast(Hook, guarded)


class JobCallback(Callback):
    """Keeps the record of a run in a job that a launcher wrote; it stands in every such job's command.

    Args:
        task: which of the job's tasks this is; the first one alone keeps the record.
        keep_return: whether somebody waits for the JobReturn.
    """

    def __init__(self, task: int | str = 0, keep_return: bool = False) -> None:
        self.keeps_record = int(task) == 0
        self.keep_return = keep_return

    @stops_hydra
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if self.keeps_record:
            run, work_dir = _run_directory(config), config.hydra.runtime.cwd
            info = read_info(run.info) or new_info(run, None, work_dir)
            job_id = config.hydra.job.id
            info["scheduler"]["scheduler_job_id"] = None if job_id == "by-hand" else job_id
            write_info(run.info, started(info, work_dir))

    @stops_hydra
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        # Hydra 1.4 also calls this when the application leaves by sys.exit; the script records that, with its status
        if self.keeps_record and not _left(job_return):
            run = _run_directory(config)
            if self.keep_return:
                write_result(run, job_return)
            write_info(run.info, ended(read_info(run.info), _error(job_return)))


class LoggingCallback(Callback):
    """Numbers runs: logs/1/, logs/2/, ...; for our launchers, Hydra's basic one and a plain single run alike.

    Args:
        parent_log_dir: the directory of the numbered runs, relative to where the application is started.
        forced_log_id: the number of this command's one run; -1 for the next free one.
    """

    def __init__(self, parent_log_dir: str = "./logs", forced_log_id: int = -1) -> None:
        self.root = Path(os.path.abspath(parent_log_dir))
        self.forced_log_id = forced_log_id
        self.numbers: dict[int, str] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In a worker process of another launcher (joblib, submitit)."""
        self.__dict__.update(state)
        self._register_resolver()

    def _register_resolver(self) -> None:
        # OmegaConf 2.4 renamed the function and warns of the old name, which in 2.3 is another, deprecated function
        renamed = "replace" in signature(OmegaConf.register_resolver).parameters
        register: Any = OmegaConf.register_resolver if renamed else OmegaConf.register_new_resolver
        register("mlxp_run_number", self._run_number, replace=True)

    @stops_hydra
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not _in_job(config):
            path = self._allocate()
            with read_write(config.hydra), open_dict(config.hydra):
                config.hydra.run.dir = str(path)
                config.hydra.output_subdir = OUTPUT_SUBDIR

    @stops_hydra
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._check()
        self._register_resolver()
        # Each job is composed again from override strings, so what these say holds for jobs, whoever launches them;
        # a number is given when a job's directory is asked for.
        overrides = {
            "hydra.sweep.dir": literal(str(self.root)),
            "hydra.sweep.subdir": "${mlxp_run_number:${hydra.job.num}}",
            "hydra.output_subdir": OUTPUT_SUBDIR,
        }
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.overrides.hydra.extend([override(*item) for item in overrides.items()])
            # The sweep's own files (multirun.yaml, submissions.jsonl, a sweeper's results) have a place of their own.
            config.hydra.sweep.dir = str(self.root / "sweeps" / time.strftime(f"%Y-%m-%d_%H-%M-%S_{os.getpid()}"))

    @stops_hydra
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not _in_job(config):
            run, work_dir = _run_directory(config), config.hydra.runtime.cwd
            write_info(run.info, started(new_info(run, None, work_dir), work_dir))
            # Hydra calls no hook when the application leaves by sys.exit or Ctrl-C
            atexit.register(_record_exit, run)

    @stops_hydra
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        if not _in_job(config):
            run = _run_directory(config)
            write_info(run.info, ended(read_info(run.info), _error(job_return)))
            atexit.unregister(_record_exit)

    def _run_number(self, job_number: int) -> str:
        """The number of the run of a sweep's job, given when it is first asked for."""
        if job_number not in self.numbers:
            try:
                self.numbers[job_number] = self._allocate().name
            except MlxpError as error:
                raise SystemExit(str(error)) from error
        return self.numbers[job_number]

    def _allocate(self) -> Path:
        self._check()
        if self.forced_log_id == -1:
            return allocate_run(self.root)
        if self.numbers:
            raise OptionError(
                f"hydra.callbacks.mlxp_logging.forced_log_id={self.forced_log_id} names the directory of one run, and "
                "this sweep has several: give each run its own command, or leave the option out."
            )
        return open_run(self.root, self.forced_log_id)

    def _check(self) -> None:
        if self.forced_log_id != -1 and self.forced_log_id < 1:
            raise OptionError(
                f"hydra.callbacks.mlxp_logging.forced_log_id={self.forced_log_id} cannot be: runs are numbered from 1 "
                "(-1 asks for the next free number)."
            )
        check_writable(self.root)


def _in_job(config: DictConfig) -> bool:
    """Whether this process runs a job of one of our launchers, which has its directory and its record already."""
    return "mlxp_job" in config.hydra.callbacks


def _run_directory(config: DictConfig) -> RunDirectory:
    return RunDirectory(Path(config.hydra.runtime.output_dir), config.hydra.output_subdir)


def _left(job_return: JobReturn) -> bool:
    """Whether the application neither returned nor failed, but left: by sys.exit or Ctrl-C."""
    # not .return_value, which prints the exception and raises it
    return job_return.status is JobStatus.FAILED and not isinstance(job_return._return_value, Exception)


def _error(job_return: JobReturn) -> dict[str, str] | None:
    error = job_return._return_value
    if job_return.status is JobStatus.COMPLETED or (isinstance(error, SystemExit) and not error.code):
        return None
    return _LEFT if _left(job_return) else {"type": type(error).__name__, "message": str(error)}


def _record_exit(run: RunDirectory) -> None:
    write_info(run.info, ended(read_info(run.info), _LEFT))
