"""Processes of runs on this machine."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path


def running_scripts() -> dict[str, int]:
    """Return the job scripts that shells on this machine execute: the shell's process id by the script's path."""
    import psutil

    found = {}
    for process in psutil.process_iter(["cmdline"]):
        program, *words = process.info["cmdline"] or [""]
        for word in words[:2]:
            if word.endswith("script.sh") and program.endswith("sh"):  # a shell, and not an editor
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
