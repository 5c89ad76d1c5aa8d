"""Starting programs."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from mlxp_core.commands import run_command, run_script
from mlxp_core.errors import CommandNotFoundError, CommandTimeoutError


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
    assert time.monotonic() - start < 10


@pytest.mark.parametrize(("line", "status"), [("exit 7", 7), ("kill -9 $$", 137)])
def test_exit_status_of_a_script(tmp_path: Path, line: str, status: int) -> None:
    script, out, err = (tmp_path / name for name in ("script", "out", "err"))
    script.write_text(f"echo out\n{line}\n")
    for _ in range(2):
        assert run_script("/bin/sh", script, out, err, tmp_path / "pid", None) == status
    assert out.read_text() == "out\nout\n"
