"""Processes on this machine are recognized by their id and the time of their start."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

from mlxp_core.status.local_processes import end_processes, is_alive, running_scripts

pytestmark = pytest.mark.once


def test_is_alive() -> None:
    assert is_alive(os.getpid(), time.time()) is True
    assert is_alive(os.getpid(), time.time() - 10**6) is False  # the id was another process's then
    for process_id in (0, -1, 2**22 + 1, 2**40):
        assert is_alive(process_id, time.time()) is False


def test_a_zombie_is_not_alive() -> None:
    process = subprocess.Popen(["sleep", "60"])
    assert is_alive(process.pid, time.time()) is True
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_alive(process.pid, time.time()) is False
    process.wait()


def test_a_hidden_process_is_not_known_to_be_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /proc is mounted with hidepid, another user's process is found only by a signal."""
    import psutil

    def hidden(process_id: int) -> None:
        raise psutil.NoSuchProcess(process_id)

    monkeypatch.setattr(psutil, "Process", hidden)
    assert is_alive(1, time.time()) is None
    assert is_alive(2**22 + 1, time.time()) is False


def test_scripts_are_found_by_their_path(tmp_path: Path) -> None:
    script = tmp_path / "a b" / "script.sh"
    script.parent.mkdir()
    script.write_text("sleep 60\necho\n")
    for argv, directory in ((["sh", "script.sh"], script.parent), (["sh", "-e", str(script)], Path("/"))):
        process = subprocess.Popen(argv, cwd=directory, start_new_session=True)
        try:
            assert running_scripts()[str(script)] == process.pid
        finally:
            end_processes(process.pid, None)
            assert process.wait() != 0
    assert str(script) not in running_scripts()
