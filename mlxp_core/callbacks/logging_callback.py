"""hydra/callbacks=mlxp_logging: numbered run directories with records and metrics."""

from __future__ import annotations

import logging
import os
import time
from inspect import signature
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mlxp_core.callbacks.first_process import (
    directory_of_first,
    keep_out,
    keeps_nothing,
    overrides_to_keep_out,
    pass_on_directory,
)
from mlxp_core.callbacks.hooks import in_job, run_directory, stops_hydra
from mlxp_core.callbacks.job_callback import RecordingCallback
from mlxp_core.callbacks.recorded_start import keeps_record
from mlxp_core.config.effective import callback_name, read_settings
from mlxp_core.config.override_grammar import literal, override
from mlxp_core.errors import MlxpError, OptionError, RunDirectoryError
from mlxp_core.files import check_writable
from mlxp_core.locks import lock_until_exit
from mlxp_core.metrics.handler import start_metrics, stop_metrics
from mlxp_core.runs.directory import allocate_run, open_run

OUTPUT_SUBDIR = "metadata"

log = logging.getLogger(__name__)


class LoggingCallback(RecordingCallback):
    """Number the runs of every launcher, and plain runs: logs/1/, logs/2/, ...

    Options that are None have the value of the project's settings.

    Args:
        parent_log_dir: Directory of the numbered runs, relative to the working directory.
        forced_log_id: Number of the run, for a command with a single run; -1 for the next free number.
    """

    # Values in force, from the start of the run or sweep
    root: Path
    forced_log_id: int

    def __init__(self, parent_log_dir: str | None = None, forced_log_id: int | None = None) -> None:
        self.given = {"parent_log_dir": parent_log_dir, "forced_log_id": forced_log_id}
        # The name of each run's directory, by the job's number
        self.numbers: dict[int, str] = {}
        # Whether the runs are started by one of our launchers: none of them is run by another process of this command
        self.launches = False

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the callback in a worker process of another launcher (joblib, submitit)."""
        self.__dict__.update(state)
        self._register_resolver()

    def _register_resolver(self) -> None:
        # OmegaConf 2.4 renamed register_new_resolver; in 2.3 another, deprecated function has the new name
        renamed = "replace" in signature(OmegaConf.register_resolver).parameters
        register: Any = OmegaConf.register_resolver if renamed else OmegaConf.register_new_resolver
        register("mlxp_run_number", self._run_number, replace=True)

    @stops_hydra
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not in_job(config):
            self._prepare(config)
            # No number yet: other callbacks may still stop the run, and mlxp_versioning restarts it in the safe copy
            with read_write(config.hydra), open_dict(config.hydra):
                config.hydra.run.dir = f"{literal(str(self.root))}/${{mlxp_run_number:0}}"
                config.hydra.output_subdir = OUTPUT_SUBDIR
            if first := directory_of_first(self.root, "0", config.hydra.overrides.task):
                self.numbers[0] = first.name
                keep_out(config, str(first))

    @stops_hydra
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        self._prepare(config)
        # Every launcher composes its jobs again from override strings, so these apply to all jobs. A number is
        # allocated when the directory of a job is resolved.
        overrides = {
            "hydra.sweep.dir": literal(str(self.root)),
            "hydra.sweep.subdir": "${mlxp_run_number:${hydra.job.num}}",
            "hydra.output_subdir": OUTPUT_SUBDIR,
        }
        # A directory for the sweep's own files: multirun.yaml, submissions.jsonl, results of a sweeper
        own = self.root / "sweeps" / time.strftime(f"%Y-%m-%d_%H-%M-%S_{os.getpid()}")
        first = self._sweep_of_first(config, own)
        more = overrides_to_keep_out(config) if first else []
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.overrides.hydra.extend([*(override(*item) for item in overrides.items()), *more])
            config.hydra.sweep.dir = str(first or own)

    def _sweep_of_first(self, config: DictConfig, own: Path) -> Path | None:
        """Return the directory of the same sweep in the first process; None if this process has the sweep itself."""
        self.launches = config.hydra.launcher._target_.startswith("hydra_plugins.mlxp.")
        if self.launches:
            return None
        first = directory_of_first(self.root, "sweep", config.hydra.overrides.task)
        if first is None:
            pass_on_directory(self.root, "sweep", own, config.hydra.overrides.task)
        return first

    def _prepare(self, config: DictConfig) -> None:
        settings = read_settings(config)
        values = settings.section("logger", **self.given)
        self.root = Path(os.path.abspath(values["parent_log_dir"]))
        self.forced_log_id = values["forced_log_id"]
        self._check()
        self._register_resolver()
        self.keep_settings(config, settings)

    @stops_hydra
    def on_job_start(self, config: DictConfig, **kwargs: Any) -> None:
        super().on_job_start(config, **kwargs)
        # Of several processes of a run, only the one that keeps the record writes metrics
        run = run_directory(config)
        keeps = keeps_record(config) if in_job(config) else not keeps_nothing(run)
        try:
            for directory in (run.metrics, run.artifacts):
                directory.mkdir(exist_ok=True)
            start_metrics(run.metrics if keeps else None)
        except OSError as error:
            log.warning("Metrics go only to the job's log: %s cannot be used (%s).", run.metrics, error)

    @stops_hydra
    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        stop_metrics()
        super().on_job_end(config, job_return, **kwargs)

    def keeps_record(self, config: DictConfig) -> bool:
        return super().keeps_record(config) and callback_name(config, "VersioningCallback") is None

    def _run_number(self, job_number: int) -> str:
        """Return the number of a job's run; the first call for a job allocates it."""
        if job_number not in self.numbers:
            try:
                self.numbers[job_number] = self._directory(job_number).name
            except MlxpError as error:
                raise SystemExit(str(error)) from error
        return self.numbers[job_number]

    def _directory(self, job_number: int) -> Path:
        """Return the directory of the first process; the first process itself allocates one."""
        if self.launches:
            return self._allocate()
        job, overrides = str(job_number), HydraConfig.get().overrides.task
        path = directory_of_first(self.root, job, overrides)
        if path is None:
            path = self._allocate()
            pass_on_directory(self.root, job, path, overrides)
        return path

    def _allocate(self) -> Path:
        if self.forced_log_id == -1 and self.numbers:  # checked for the first
            return allocate_run(self.root)
        self._check()
        if self.forced_log_id == -1:
            return allocate_run(self.root)
        if self.numbers:
            raise OptionError(
                f"hydra.callbacks.mlxp_logging.forced_log_id={self.forced_log_id} names the directory of one run, but "
                "this sweep has several: give each run its own command, or omit the option."
            )
        path = open_run(self.root, self.forced_log_id)
        # From this check until the record is written; the lock ends with this process
        if owner := lock_until_exit(self.root / f".{self.forced_log_id}.lock"):
            raise RunDirectoryError(
                f"The run in {path} is being launched by {owner}, and another run would overwrite it. Wait for it, or "
                "choose another directory."
            )
        if (path / OUTPUT_SUBDIR / "info.yaml").exists():
            from mlxp_core.status.active_runs import check_not_running

            check_not_running([path])
        return path

    def _check(self) -> None:
        if self.forced_log_id != -1 and self.forced_log_id < 1:
            raise OptionError(
                "hydra.callbacks.mlxp_logging.forced_log_id must be a positive integer, or -1 for the next free "
                f"number, got {self.forced_log_id}."
            )
        check_writable(self.root)
