"""Which processes of runs are alive on this machine."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
# Times in records are in whole seconds
_SLACK_S = 2


def is_alive(process_id: int, at: float) -> bool | None:
    """Whether the process that had this id at a moment is still there; None when this user may not know.

    An id is given again after a while, so a process that started later is another one.

    Args:
        process_id: on this machine.
        at: the moment, in seconds since the epoch.
    """
    try:
        # The name, in parentheses, may hold anything; proc(5)
        fields = (_PROC / str(process_id) / "stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        try:
            os.kill(process_id, 0)
        except (ProcessLookupError, OverflowError):
            return False
        except PermissionError:
            pass
        return None
    state, started = fields[0], int(fields[19]) / os.sysconf("SC_CLK_TCK")
    boot = time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
    return state not in "ZX" and boot + started <= at + _SLACK_S


def running_scripts() -> dict[str, int]:
    """The job scripts that a shell on this machine was started with, by their paths, and that shell's process id."""
    found = {}
    for entry in _PROC.iterdir():
        if entry.name.isdecimal():
            try:
                words = os.fsdecode((entry / "cmdline").read_bytes()).split("\0")
            except OSError:  # it ended, or is not for us to see
                continue
            for word in words[1:3]:
                if word.endswith("script.sh"):
                    try:
                        found[str((entry / "cwd").readlink() / word)] = int(entry.name)
                    except OSError:
                        found[word] = int(entry.name)
    return found


def end_processes(shell: int | None, process_id: int | None) -> None:
    """Tell a run on this machine to end, as the local launcher does on Ctrl-C: its script notes how it ended.

    Args:
        shell: the process of its script, if it has one.
        process_id: the application's own, if it has begun.

    Raises:
        PermissionError: they are another user's.
    """
    with suppress(ProcessLookupError):
        if shell is not None and os.getpgid(shell) == shell:
            os.killpg(shell, signal.SIGTERM)  # with all that it started
            return
    # A script that another program started shares that one's group; it waits for the application before it ends
    for one in (shell, process_id):
        with suppress(ProcessLookupError):
            if one is not None:
                os.kill(one, signal.SIGTERM)
