"""The last act of a job script: `python -m mlxp_core.run_end INFO_YAML EXIT_STATUS`.

The application records its own end. It cannot when it was killed, never started, or left by sys.exit: then this does.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from mlxp_core.run_info import RunStatus, ended, read_info, write_info


def record_exit_status(path: Path, exit_status: int) -> None:
    """Note the exit status in the record at `path`, and end the record if the run did not.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    info = read_info(path)
    status = RunStatus(info.get("status", RunStatus.STARTING))
    if exit_status != 0 and status is not RunStatus.FAILED:
        info = ended(info, {"type": "ExitStatus", "message": _reason(status, exit_status)})
    elif not status.final:
        info = ended(info, None)
    write_info(path, {**info, "exit_status": exit_status})


def _reason(status: RunStatus, exit_status: int) -> str:
    when = "before the run started (see log.stderr)" if status is RunStatus.STARTING else "during the run"
    if exit_status > 128:
        try:
            return f"ended by signal {signal.Signals(exit_status - 128).name} {when}"
        except ValueError:  # an exit status above 128 of the application's own
            pass
    return f"exit status {exit_status} {when}"


if __name__ == "__main__":
    record_exit_status(Path(sys.argv[1]), int(sys.argv[2]))
