"""info.yaml: what a run's own record says of it."""

from __future__ import annotations

import getpass
import os
import socket
import sys
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import yaml

from mlxp_core.files import write_whole
from mlxp_core.runs.directory import RunDirectory

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

# libyaml's dumper, where PyYAML has it, is five times faster
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class RunStatus(str, Enum):
    """What a run says of itself; what the scheduler says of its job is its state."""

    STARTING = "STARTING"
    RUNNING = "RUNNING"
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"


def read_info(path: Path) -> dict[str, Any]:
    """The record at `path`; empty when there is none yet."""
    try:
        return yaml.load(path.read_bytes(), _LOADER) or {}
    except FileNotFoundError:
        return {}


def write_info(path: Path, info: dict[str, Any]) -> None:
    """Write a whole record.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    write_whole(path, yaml.dump(info, Dumper=_DUMPER, sort_keys=False, allow_unicode=True))


def main_file() -> str | None:
    """The file that this process was started with; None when there is none."""
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
) -> dict[str, Any]:
    """The record of a run that has not started; of an earlier one in its directory it keeps the number of attempts.

    Args:
        run: where it runs.
        scheduler: the name of the scheduler's class; None for a run without one.
        work_dir: where the application is started.
        executable: the interpreter that runs it.
        main_file: the application's own file, if there is one.
        command: Command line that starts the application; None if there is none.
        environment: Variables that the command needs.
        version: which code it runs, when mlxp_versioning looks after that.
    """
    info: dict[str, Any] = {
        "status": RunStatus.STARTING.value,
        "attempts": read_info(run.info).get("attempts", 0),
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
    if command is not None:
        info["command"] = list(command)
    if environment:
        info["environment"] = dict(environment)
    return info if version is None else {**info, "version_manager": version}


def restarted(info: dict[str, Any]) -> dict[str, Any]:
    """The record without what an earlier start of the run left in it."""
    info = {**info, "status": RunStatus.STARTING.value, "start_time": None, "end_time": None}
    return {key: value for key, value in info.items() if key not in ("error", "exit_status")}


def started(info: dict[str, Any], work_dir: str) -> dict[str, Any]:
    """The record of a run that starts now, in this process."""
    info = {**restarted(info), "status": RunStatus.RUNNING.value, "start_time": now()}
    return info | {
        "attempts": info.get("attempts", 0) + 1,
        "hostname": socket.gethostname(),
        "user": user_name(),
        "process_id": os.getpid(),
        "work_dir": work_dir,
    }


def requeued(info: dict[str, Any], job: str) -> dict[str, Any]:
    """The record of a run that did not complete, and whose job is started again.

    Args:
        info: the record so far.
        job: what the scheduler calls the job in all its attempts.
    """
    return {**restarted(info), "requeues": {job: requeues(info, job) + 1}}


def requeues(info: dict[str, Any], job: str) -> int:
    """How often the run's job was started again because its time was over; another job has a count of its own."""
    return int(info.get("requeues", {}).get(job, 0))


def ended(info: dict[str, Any], error: dict[str, str] | None) -> dict[str, Any]:
    """The record of a run that ends now; `error` (type, message) is None for one that succeeded."""
    status = RunStatus.COMPLETE if error is None else RunStatus.FAILED
    info = {**info, "status": status.value, "end_time": now()}
    return info if error is None else {**info, "error": error}


def now() -> str:
    """This moment, ISO 8601 with the zone, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def user_name() -> str:
    """The user's login name, or number where the number has no name (containers)."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())
