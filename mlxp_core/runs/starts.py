"""The starts of a run: each is recorded by the process that made it, and only the last one may change the record.

A script names its start in the environment variable MLXP_START before the application begins, so that the application,
the requeue wrapper and the script's last command know that they belong together.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

# Variable with the id of the start, set by each job script
START = "MLXP_START"
# Variable with the request that an array's script belongs to: <launch directory>/<number of the request>
REQUEST = "MLXP_REQUEST"
# Variable with the scheduler's id of the job, set by each job script
JOB_ID = "MLXP_JOB_ID"
# What it is for a script that was started by hand
BY_HAND = "by-hand"


def new_start_id() -> str:
    """Return an id for a start in this process, as scripts make one: nanoseconds since the epoch and a process id."""
    return f"{time.time_ns()}-{os.getpid()}"


def start_id() -> str:
    """Return the id of the start that this process belongs to: its script's, or a new one without a script."""
    return os.environ.get(START) or new_start_id()


def new_start(start: str, job_id: str | None) -> dict[str, Any]:
    """Return the entry for a start in this process.

    Args:
        start: Its id.
        job_id: The scheduler's id of the job, as the job knows it; None outside of a job.
    """
    return {"id": start, "job_id": job_id, "request": os.environ.get(REQUEST), **this_process(), "start_time": None}


def this_process() -> dict[str, Any]:
    """Return the identity of this process, which no other process ever has: host, boot, id, and time of its start.

    `process_start` is in clock ticks since the boot (proc(5), /proc/PID/stat, field 22). It and `boot_id` are None
    where the system does not tell them.
    """
    process_id = os.getpid()
    return {
        "hostname": socket.gethostname(),
        "boot_id": _boot_id(),
        "process_id": process_id,
        "process_start": _stat(process_id)[1],
    }


def is_alive_here(process: Mapping[str, Any]) -> bool | None:
    """Return whether a process is alive; None if that cannot be determined on this machine.

    Args:
        process: Identity as `this_process` returns it; missing keys count as None.
    """
    process_id, start = process.get("process_id"), process.get("process_start")
    if not isinstance(process_id, int) or process.get("hostname") != socket.gethostname():
        return None
    if process.get("boot_id") is None or start is None:
        return None
    if process["boot_id"] != _boot_id():
        return False
    state, started = _stat(process_id)
    if started is not None:
        return started == start and state not in ("Z", "X")
    try:
        os.kill(process_id, 0)  # another user's process may be hidden (/proc mounted with hidepid)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return None


def current_start(info: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the start that a run's record is about; None for a run that waits for one, and for older records."""
    starts = info.get("starts")
    if not isinstance(starts, list) or not starts or info.get("start_time") is None:
        return None
    return starts[-1] if isinstance(starts[-1], Mapping) else None


def is_current(info: Mapping[str, Any], start: str) -> bool:
    """Return whether a run's record is about the start with this id, so that its processes may change the record."""
    current = current_start(info)
    return current is not None and current.get("id") == start


def start_of_script(info: Mapping[str, Any], process_id: int) -> str:
    """Return the id of the start that a script on this machine made; a new one if the record has no such start.

    Args:
        info: Record of the run.
        process_id: Id of the script's process, with which the ids of its starts end.
    """
    start = current_start(info)
    if start and start.get("hostname") == socket.gethostname() and str(start["id"]).endswith(f"-{process_id}"):
        return str(start["id"])
    return f"{time.time_ns()}-{process_id}"


def update_record(path: Path, start: str, change: Callable[[dict[str, Any]], dict[str, Any]]) -> bool:
    """Change a run's record, if it is about this start; return whether it is.

    Args:
        path: File of the record (info.yaml).
        start: Id of the start that this process belongs to.
        change: Returns the new record for the present one.

    Raises:
        RunDirectoryError: The record cannot be written.
        RunRecordError: The record is damaged.
    """
    from mlxp_core.runs.info import read_info, write_info

    info = read_info(path)
    if not is_current(info, start):
        return False
    changed = change(info)
    if changed is not info:
        write_info(path, changed)
    return True


def _boot_id() -> str | None:
    with suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return None


def _stat(process_id: int) -> tuple[str | None, int | None]:
    """Return the state of a process and the time of its start; None for each if the system does not tell."""
    try:
        # The second field is the program's name in parentheses, which may contain anything
        fields = Path(f"/proc/{process_id}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return fields[0], int(fields[19])
    except (OSError, ValueError, IndexError):
        return None, None
