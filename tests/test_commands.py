"""Programs that this package starts."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from mlxp_core.commands import end_sessions, run_command, run_recorded, start_session
from mlxp_core.errors import CommandError, CommandNotFoundError, CommandTimeoutError


def test_an_answer() -> None:
    answer = run_command(["sh", "-c", "echo out; echo err >&2; exit 3"], timeout_s=10)
    assert (answer.exit_status, answer.stdout, answer.stderr, answer.text) == (3, "out\n", "err\n", "out\nerr")


def test_no_such_program() -> None:
    with pytest.raises(CommandNotFoundError, match="'nosuch' is not on this machine"):
        run_command(["nosuch"], timeout_s=1)


def test_no_answer() -> None:
    start = time.monotonic()
    with pytest.raises(CommandTimeoutError, match=r"'sleep 60' did not answer within 0.2 s"):
        run_command(["sleep", "60"], timeout_s=0.2)
    assert time.monotonic() - start < 50


def test_a_command_that_cannot_be_started(tmp_path: Path) -> None:
    """No answer file is left: an empty one would mean that the command was started."""
    (tmp_path / "submit").write_text("not executable")
    argv, answer = [str(tmp_path / "submit"), "script.sh"], tmp_path / "answer.txt"
    with pytest.raises(CommandError, match=r"The command '/.*/submit' cannot be started: Permission denied\."):
        run_command(argv, timeout_s=1)
    with pytest.raises(CommandError, match=r"The command '/.*/submit' cannot be started: Permission denied\."):
        run_recorded(argv, env={}, answer=answer, still_waiting=lambda seconds: None)
    assert not answer.exists()


def test_the_output_of_a_session_is_appended(tmp_path: Path) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    for _ in range(2):
        start_session(["sh", "-c", "echo $A; echo err >&2"], env={"A": "out"}, stdout=out, stderr=err).wait()
    assert (out.read_text(), err.read_text()) == ("out\nout\n", "err\nerr\n")


@pytest.mark.slow
def test_ending_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything in a session is ended: what ignores SIGTERM, and what has a process group of its own, too."""
    mine = os.getpid()  # other tests on this machine have the same programs
    lines = [
        f"(trap '' TERM; touch deaf; exec sleep 71.{mine}) &",
        f"timeout 72 sleep 72.{mine} &",  # makes a process group
        f"setsid sh -c 'echo $$ > daemon; exec sleep 73.{mine}' &",
        "trap 'touch notified; exit 3' TERM; touch ready; while :; do sleep 0.1; done",
    ]
    monkeypatch.chdir(tmp_path)
    argv = ["sh", "-c", "\n".join(lines)]
    processes = [start_session(argv, env=dict(os.environ), stdout=Path("out"), stderr=Path("err"))]
    end = time.monotonic() + 60
    while not all((tmp_path / name).exists() for name in ("ready", "deaf", "daemon")):
        assert time.monotonic() < end
        time.sleep(0.05)
    end_sessions(processes, grace_s=10)
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    os.kill(int((tmp_path / "daemon").read_text()), signal.SIGKILL)
    assert [number for number in (71, 72, 73) if f"sleep {number}.{mine}\n" in listed] == [73]
    assert processes[0].returncode == 3
    assert (tmp_path / "notified").exists()
