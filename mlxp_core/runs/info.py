"""A run's own record, info.yaml."""

from __future__ import annotations

import getpass
import os
import sys
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import yaml

from mlxp_core import yaml_files
from mlxp_core.errors import RunRecordError
from mlxp_core.files import read_regular, write_whole
from mlxp_core.runs.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path


class RunStatus(str, Enum):
    """The status in a run's own record, as opposed to the state of its job, which the scheduler reports."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"


# Entries that a new start of the run does not keep
_OF_ONE_START = ("error", "exit_status", "completed_start", "waits_in", "world_size")


def read_info(path: Path) -> dict[str, Any]:
    """Read a run's record; return an empty dict if there is none.

    Raises:
        RunRecordError: The record is damaged or cannot be read.
    """
    try:
        info = yaml_files.load(read_regular(path)) or {}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise RunRecordError(f"Cannot read the record of a run, {path}: {error.strerror}.") from error
    except (yaml.YAMLError, ValueError):
        info = None
    if not isinstance(info, dict):
        raise RunRecordError(
            f"The record of a run is damaged: {path}. Restore it, or delete it: then the run's next start begins a new "
            "record."
        )
    return info


def write_info(path: Path, info: dict[str, Any]) -> None:
    """Write a whole record.

    Raises:
        RunDirectoryError: The record cannot be written.
    """
    write_whole(path, info_text(info))


def info_text(info: dict[str, Any]) -> str:
    """Return the text of a record."""
    return yaml_files.dump(info)


def main_file() -> str | None:
    """Return the file that this process was started with; None if there is none."""
    file = getattr(sys.modules["__main__"], "__file__", None)
    return os.path.realpath(file) if file else None


def new_info(
    run: RunDirectory,
    *,
    scheduler: str | None,
    work_dir: str,
    executable: str = sys.executable,
    main_file: str | None,
    command: Sequence[str] | None = None,
    environment: Mapping[str, str] | None = None,
    version: dict[str, Any] | None = None,
    is_new: bool = False,
) -> dict[str, Any]:
    """Return the record of a run that has not started, with the starts of an earlier run in its directory.

    Args:
        run: Directory of the run.
        scheduler: Name of the scheduler's class; None for a run without a scheduler.
        work_dir: Directory in which the application is started.
        executable: Interpreter that runs the application.
        main_file: The application's own file; None if there is none.
        command: Command line that starts the application; None if there is none.
        environment: Variables that the command needs.
        version: Which code the run uses; None without mlxp_versioning.
        is_new: Whether the directory is known to have no record.

    Raises:
        RunRecordError: The record of an earlier run in the directory is damaged.
    """
    before = {} if is_new else read_info(run.info)
    info: dict[str, Any] = {
        "status": RunStatus.STARTING.value,
        "attempts": before.get("attempts", 0),
        "start_time": None,
        "end_time": None,
        "hostname": None,
        "user": user_name(),
        "process_id": None,
        "executable": executable,
        "current_file_path": main_file,
        "work_dir": work_dir,
        "log_id": run.number,
        "log_dir": str(run.path),
        "scheduler": {"name": scheduler, "scheduler_job_id": None},
    }
    if before.get("starts"):  # of an earlier run in the directory
        info["starts"] = before["starts"]
    if command is not None:
        info["command"] = list(command)
    if environment:
        info["environment"] = dict(environment)
    return info if version is None else {**info, "version_manager": version}


def restarted(info: dict[str, Any]) -> dict[str, Any]:
    """Return the record without what an earlier start of the run left in it."""
    info = {**info, "status": RunStatus.STARTING.value, "start_time": None, "end_time": None}
    return {key: value for key, value in info.items() if key not in _OF_ONE_START}


def started(info: dict[str, Any], work_dir: str, start: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a run that starts now, in this process.

    Args:
        info: The record so far.
        work_dir: Directory in which the application was started.
        start: Entry for the start, as `starts.new_start` returns it.
    """
    start_time = now()
    info = {**restarted(info), "status": RunStatus.RUNNING.value, "start_time": start_time}
    return info | {
        "attempts": info.get("attempts", 0) + 1,
        "hostname": start["hostname"],
        "user": user_name(),
        "process_id": start["process_id"],
        "work_dir": work_dir,
        "scheduler": {**info["scheduler"], "scheduler_job_id": start["job_id"]},
        "starts": [*info.get("starts", ()), {**start, "start_time": start_time}],
    }


def requeued(info: dict[str, Any], job: str) -> dict[str, Any]:
    """Return the record of a run that did not complete and whose job is requeued.

    Args:
        info: The record so far.
        job: The scheduler's name for the job, the same in all attempts.
    """
    return {**restarted(info), "requeues": {job: requeues(info, job) + 1}}


def requeues(info: dict[str, Any], job: str) -> int:
    """Return how many times a job of the run was requeued because of its time limit; each job is counted separately."""
    return int(info.get("requeues", {}).get(job, 0))


def ended(info: dict[str, Any], error: dict[str, str] | None) -> dict[str, Any]:
    """Return the record of a run that ends now; `error` (type, message) is None for a run that succeeded."""
    status, end_time = RunStatus.COMPLETE if error is None else RunStatus.FAILED, now()
    info = {**info, "status": status.value, "end_time": end_time}
    if (starts := info.get("starts")) and info["start_time"] is not None:
        info["starts"] = [*starts[:-1], {**starts[-1], "end_time": end_time}]
    return info if error is None else {**info, "error": error}


def now() -> str:
    """Return the current time, ISO 8601 with the time zone, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def seconds(time: Any) -> float | None:
    """Return a recorded time (ISO 8601 with the time zone) in seconds since the epoch; None if it is not a time."""
    try:
        return datetime.fromisoformat(time).timestamp()
    except (TypeError, ValueError):
        return None


def user_name() -> str:
    """Return the user's login name, or the user id where it has no name (containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
