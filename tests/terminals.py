"""Applications on a terminal, for tests that answer questions."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pexpect

from tests.programs import App


class Terminal:
    """An application on a terminal."""

    def __init__(self, app: App, *arguments: str, program: str | None = None) -> None:
        self.child: pexpect.spawn[str] = pexpect.spawn(
            program or app.python,
            [*arguments] if program else ["main.py", *arguments],
            cwd=str(app.directory),
            env={**app.environment, "PWD": str(app.directory)},
            encoding="utf-8",
            timeout=180,
            dimensions=(50, 200),
        )

    def until(self, prompt: str) -> str:
        """Wait for a prompt; return the text before it."""
        self.child.expect_exact(prompt)
        return str(self.child.before).replace("\r\n", "\n")

    def answer(self, text: str, prompt: str) -> str:
        """Answer a prompt; return the text up to the next prompt, without the echo of the answer."""
        self.child.sendline(text)
        return self.until(prompt).removeprefix(f"{text}\n")

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """Send a signal once the program waits for an answer.

        Python handles a signal that comes just before it reads only after the read: no user is that fast, a test is.
        """
        while Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            time.sleep(0.01)
        if number == signal.SIGINT:
            self.child.sendcontrol("c")
        else:
            self.child.kill(number)

    def end(self, text: str | None = None) -> tuple[int, str]:
        """Answer the last prompt; return the exit status and the remaining text."""
        if text is not None:
            self.child.sendline(text)
        self.child.expect(pexpect.EOF)
        self.child.close()
        status = self.child.exitstatus
        assert status is not None
        return status, str(self.child.before).replace("\r\n", "\n").removeprefix(f"{text}\n")
