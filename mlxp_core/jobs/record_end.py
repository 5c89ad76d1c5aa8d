"""Record how a run ended: the last command of a job script.

    python -m mlxp_core.jobs.record_end INFO_YAML EXIT_STATUS SCRIPT_START

Job scripts on disk contain this command line: the name of this module and its arguments must not change.

The application records its own end. It cannot if it was killed, never started, or called sys.exit: then this program
does.
"""

from __future__ import annotations

import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from mlxp_core.errors import MlxpError
from mlxp_core.runs.info import RunStatus, ended, read_info, restarted, write_info

# Type of the error in the record of a run that did not record an error of its own
EXIT_STATUS = "ExitStatus"


def record_exit_status(path: Path, exit_status: int, script_start: int) -> None:
    """Add the exit status to a run's record, and the end of the run if it is missing.

    Args:
        path: File of the record (info.yaml).
        exit_status: Exit status as a shell gives it, 128 + n for signal n.
        script_start: Time at which the script started, in seconds since the epoch. An older record belongs to an
            earlier start.

    Raises:
        RunDirectoryError: The record cannot be written.
    """
    info = read_info(path)
    if not is_from_start(info, script_start):
        info = ended(
            restarted(info),
            {"type": EXIT_STATUS, "message": _reason("before the run started (see log.stderr)", exit_status)},
        )
    elif exit_status != 0 and info["status"] != RunStatus.FAILED:
        info = ended(info, {"type": EXIT_STATUS, "message": _reason("during the run", exit_status)})
    elif info["status"] == RunStatus.RUNNING:  # sys.exit(0)
        info = ended(info, None)
    write_info(path, {**info, "exit_status": exit_status})


def is_from_start(info: dict[str, Any], script_start: int) -> bool:
    """Return whether a record belongs to the run that the script started, and not to an earlier start."""
    start_time = info.get("start_time")
    return start_time is not None and datetime.fromisoformat(start_time).timestamp() >= script_start


def _reason(when: str, exit_status: int) -> str:
    if exit_status > 128:
        try:
            return f"ended by signal {signal.Signals(exit_status - 128).name} {when}"
        except ValueError:  # the application's own exit status
            pass
    return f"exit status {exit_status} {when}"


if __name__ == "__main__":
    try:
        record_exit_status(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    except MlxpError as error:
        sys.exit(f"mlxp: The end of the run cannot be recorded. {error}")
