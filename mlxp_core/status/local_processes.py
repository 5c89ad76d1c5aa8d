"""Processes of runs on this machine."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

# Times in records and the system's boot time are whole seconds
_TOLERANCE_S = 2


def is_alive(process_id: int, at: float) -> bool | None:
    """Return whether the process that had an id at a given time is alive; None if this user may not know.

    Process ids are reused, so a process that started later is another one.

    Args:
        process_id: Id of a process on this machine.
        at: Time in seconds since the epoch.
    """
    import psutil

    if process_id <= 0:  # stands for several processes
        return False
    try:
        process = psutil.Process(process_id)
        is_same = process.create_time() <= at + _TOLERANCE_S
        return is_same and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.ZombieProcess:
        return False
    except psutil.NoSuchProcess:
        pass
    except psutil.AccessDenied:
        return None
    try:
        os.kill(process_id, 0)  # another user's process may be hidden (/proc mounted with hidepid)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return None


def running_scripts() -> dict[str, int]:
    """Return the job scripts that shells on this machine execute: the shell's process id by the script's path."""
    import psutil

    found = {}
    for process in psutil.process_iter(["cmdline"]):
        for word in (process.info["cmdline"] or [])[1:3]:
            if word.endswith("script.sh"):
                try:
                    found[str(Path(process.cwd(), word))] = process.pid
                except psutil.Error:  # the process ended, or is another user's
                    found[word] = process.pid
    return found


def end_processes(shell: int | None, process_id: int | None) -> None:
    """Terminate a run on this machine as the local launcher does on Ctrl-C: its script records how it ended.

    Args:
        shell: Process id of the run's script; None if it has none.
        process_id: Process id of the application; None if it has not started.

    Raises:
        PermissionError: The processes are another user's.
    """
    with suppress(ProcessLookupError):
        if shell is not None and os.getpgid(shell) == shell:
            os.killpg(shell, signal.SIGTERM)  # with all processes that it started
            return
    # A script that another program started shares that program's group. It waits for the application before it ends
    for process in (shell, process_id):
        with suppress(ProcessLookupError):
            if process is not None:
                os.kill(process, signal.SIGTERM)
