"""The first process of a run takes its number and keeps its record; the others use its directory, and write neither."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mlxp_core.config.effective import callback_name, callback_settings, read_settings
from mlxp_core.config.override_grammar import literal, override
from mlxp_core.errors import MlxpError
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.ranks import is_first_process, process_number, world_size
from mlxp_core.runs.rendezvous import publish, received, run_of_parent
from mlxp_core.versioning.version import ResolvedVersion

# Names that Lightning gives to the processes that it starts (hydra.job.name), and so to their log files
_LIGHTNING = "train_ddp_process_"
_VERSION, _DIRECTORIES = "version", "runs"

# Directories of runs that this process keeps although it is not the first process of its launch
_own: set[Path] = set()


def keeps_nothing(run: RunDirectory) -> bool:
    """Return whether another process keeps the record of this process's run."""
    return not is_first_process(os.environ) and run.path not in _own


def directory_of_first(root: Path, job: str, overrides: Sequence[str]) -> Path | None:
    """Return the directory that the first process uses; None in the first process itself.

    `srun -n 4 python main.py seed=$SLURM_PROCID` starts four runs: a process with other overrides than the first
    process is the first of a run of its own.

    Args:
        root: Directory of the numbered runs.
        job: Number of the job, or a word for the sweep.
        overrides: Overrides of the application.

    Raises:
        RunDirectoryError: The first process did not pass it on in time.
    """
    if is_first_process(os.environ):
        return None
    if (parent := run_of_parent(os.environ)) is not None:
        return parent
    first, its_overrides = received(root, f"{_DIRECTORIES}-{job}", "has not chosen a run directory")
    return Path(first) if its_overrides == list(overrides) else None


def pass_on_directory(root: Path, job: str, path: Path, overrides: Sequence[str]) -> None:
    """Note that this process keeps a run's record, and pass its directory on to the other processes.

    Raises:
        RunDirectoryError: It cannot be passed on.
    """
    if is_first_process(os.environ):
        publish(root, f"{_DIRECTORIES}-{job}", [str(path), list(overrides)])
    else:
        _own.add(path)


def version_of_first(root: Path) -> ResolvedVersion:
    """Return the version that the first process resolved.

    Args:
        root: Directory of the safe copies.

    Raises:
        RunDirectoryError: The first process failed, or did not pass it on in time.
    """
    return ResolvedVersion(received(root, _VERSION, "has not resolved the version of the code"), Path.cwd())


def pass_on_version(root: Path, version: dict[str, Any]) -> None:
    """Pass the version on to the other processes.

    Raises:
        RunDirectoryError: It cannot be passed on.
    """
    if is_first_process(os.environ):
        publish(root, _VERSION, version)


def stop_others(config: DictConfig, root: Path) -> None:
    """Stop the other processes, which wait for the version or already for a run directory.

    Args:
        config: Configuration of the run or sweep.
        root: Directory of the safe copies.
    """
    if not is_first_process(os.environ):
        return
    with suppress(MlxpError):  # they stop later, after their longest time to wait
        publish(root, _VERSION, None)
        if callback_name(config, "LoggingCallback") is not None:
            logs = Path(os.path.abspath(callback_settings(config, "logger", read_settings(config))["parent_log_dir"]))
            for job in ("0", "sweep"):
                publish(logs, f"{_DIRECTORIES}-{job}", None)


def keep_out(config: DictConfig, directory: str | None) -> None:
    """Configure a process that is not the first one of a run: Hydra writes no files but a log file of its own.

    Args:
        config: Configuration of the run.
        directory: Directory of the run; None for the one in the configuration.
    """
    with read_write(config.hydra), open_dict(config.hydra):
        if directory is not None:
            config.hydra.run.dir = literal(directory)
        config.hydra.output_subdir = None
        for name, file in _log_files(config).items():
            config.hydra.job_logging.handlers[name].filename = file


def overrides_to_keep_out(config: DictConfig) -> list[str]:
    """Return the overrides that do the same for each job of a sweep."""
    files = _log_files(config).items()
    log_files = [override(f"hydra.job_logging.handlers.{name}.filename", file) for name, file in files]
    return ["hydra.output_subdir=null", *log_files]


def _log_files(config: DictConfig) -> dict[str, str]:
    """Return a log file of this process for each handler with a file: `main.rank-1.log`."""
    logging: Any = OmegaConf.to_container(config.hydra.job_logging or OmegaConf.create(), resolve=False)
    job_name = config.hydra.job.get("name") or ""
    if job_name.startswith(_LIGHTNING):
        return {}
    rank = f".rank-{process_number(os.environ)}"
    files = {name: handler.get("filename") for name, handler in (logging.get("handlers") or {}).items()}
    return {name: re.sub(r"(\.\w+)?$", rf"{rank}\1", file, count=1) for name, file in files.items() if file}


def with_world_size(info: dict[str, Any]) -> dict[str, Any]:
    """Return a record with the number of processes of the run, if it is known by now."""
    size = world_size(os.environ) or _size_of_torch()
    return info if size is None else {**info, "world_size": size}


def _size_of_torch() -> int | None:
    """Return the number of processes in PyTorch's group. Lightning makes it late, and unsets WORLD_SIZE at its end."""
    with suppress(Exception):  # what other versions do is unknown
        group = sys.modules["torch.distributed"]
        return int(group.get_world_size()) if group.is_initialized() else None
    return None
