"""The last act of a job script: `python -m mlxp_core.jobs.record_end INFO_YAML EXIT_STATUS`.

The application records its own end. It cannot when it was killed, never started, or left by sys.exit: then this does.
"""

from __future__ import annotations

import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from mlxp_core.errors import MlxpError
from mlxp_core.runs.info import RunStatus, ended, read_info, restarted, write_info

# The type of an error that a script records, when the application did not record its own
EXIT_STATUS = "ExitStatus"


def record_exit_status(path: Path, exit_status: int, script_start: int) -> None:
    """Note the exit status in the record at `path`, and end the record if the run did not.

    Args:
        path: the run's info.yaml.
        exit_status: as the shell gives it, 128 + n for signal n.
        script_start: when the script started, in seconds since the epoch; a record that is older is another start's.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    info = read_info(path)
    if not is_of(info, script_start):
        info = ended(
            restarted(info),
            {"type": EXIT_STATUS, "message": _reason("before the run started (see log.stderr)", exit_status)},
        )
    elif exit_status != 0 and info["status"] != RunStatus.FAILED:
        info = ended(info, {"type": EXIT_STATUS, "message": _reason("during the run", exit_status)})
    elif info["status"] == RunStatus.RUNNING:  # it left by sys.exit(0)
        info = ended(info, None)
    write_info(path, {**info, "exit_status": exit_status})


def is_of(info: dict[str, Any], script_start: int) -> bool:
    """Whether a record is of the run that a script started at `script_start`, in seconds since the epoch, or later."""
    start_time = info.get("start_time")
    return start_time is not None and datetime.fromisoformat(start_time).timestamp() >= script_start


def _reason(when: str, exit_status: int) -> str:
    if exit_status > 128:
        try:
            return f"ended by signal {signal.Signals(exit_status - 128).name} {when}"
        except ValueError:  # an exit status above 128 of the application's own
            pass
    return f"exit status {exit_status} {when}"


if __name__ == "__main__":
    try:
        record_exit_status(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    except MlxpError as error:
        sys.exit(f"mlxp: {error}")
