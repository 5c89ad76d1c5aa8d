"""Record how a run ended: the last command of a job script, unless the run completed.

    python -m mlxp_core.jobs.record_end INFO_YAML EXIT_STATUS START

Job scripts on disk contain this command line: the name of this module and its arguments must not change.

The application records its own end. It cannot if it was killed, never started, or called sys.exit: then this program
does.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from mlxp_core.errors import MlxpError
from mlxp_core.runs.info import RunStatus, ended, read_info, restarted, write_info
from mlxp_core.runs.start_lock import REFUSED, is_locked
from mlxp_core.runs.starts import JOB_ID, current_start, is_alive_here, is_current, new_start

# Type of the error in the record of a run that did not record an error of its own
EXIT_STATUS = "ExitStatus"


def record_exit_status(path: Path, exit_status: int, start: str, job_id: str | None = None) -> None:
    """Add the exit status to a run's record, and the end of the run if it is missing.

    A record that another start has begun since is left alone; so is that of a completed or active run if the
    application of this start never began, and one that no longer exists.

    Args:
        path: File of the record (info.yaml).
        exit_status: Exit status as a shell gives it, 128 + n for signal n.
        start: Id of the start that ends.
        job_id: The scheduler's id of the job, if it is known; for a start whose application never began.

    Raises:
        RunDirectoryError: The record cannot be written.
        RunRecordError: The record is damaged.
    """
    info = read_info(path)
    if is_current(info, start):
        write_info(path, _ended(info, exit_status))
    elif info and _began_nothing(info, start, exit_status) and not is_locked(path.parent / ".lock"):
        error = {"type": EXIT_STATUS, "message": _reason("before the run started (see log.stderr)", exit_status)}
        write_info(path, _with_start(ended(restarted(info), error), start, job_id) | {"exit_status": exit_status})


def _ended(info: dict[str, Any], exit_status: int) -> dict[str, Any]:
    if exit_status != 0 and info["status"] != RunStatus.FAILED:
        info = ended(info, {"type": EXIT_STATUS, "message": _reason("during the run", exit_status)})
    elif info["status"] == RunStatus.RUNNING:  # sys.exit(0)
        info = ended(info, None)
    return {**info, "exit_status": exit_status}


def _began_nothing(info: dict[str, Any], start: str, exit_status: int) -> bool:
    """Return whether the application of a start never began, in a run that did not complete."""
    current = current_start(info)
    if current is not None and info["status"] == RunStatus.RUNNING and is_alive_here(current) is not False:
        return False  # where its lock cannot be seen, it may run on another machine
    known = {entry.get("id") for entry in info.get("starts") or () if isinstance(entry, dict)}
    return start not in known and exit_status != REFUSED and info.get("status") != RunStatus.COMPLETE


def _with_start(info: dict[str, Any], start: str, job_id: str | None) -> dict[str, Any]:
    entry = {**new_start(start, job_id), "process_id": None, "process_start": None, "end_time": info["end_time"]}
    return {**info, "starts": [*(info.get("starts") or ()), entry]}


def _reason(when: str, exit_status: int) -> str:
    if exit_status > 128:
        try:
            return f"ended by signal {signal.Signals(exit_status - 128).name} {when}"
        except ValueError:  # the application's own exit status
            pass
    return f"exit status {exit_status} {when}"


if __name__ == "__main__":
    try:
        record_exit_status(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], os.environ.get(JOB_ID))
    except MlxpError as error:
        sys.exit(f"mlxp: The end of the run cannot be recorded. {error}")
