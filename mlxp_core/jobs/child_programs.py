"""Programs that a job runs, some at a time, and that are told by a signal when its time is nearly over."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlxp_core.commands import start_program


@dataclass
class Child:
    """One program.

    Attributes:
        argv: its words.
        info: the record of its run.
        log: where its output is appended (log.stdout, log.stderr); None for our own output.
        status: how it ended, as the shell gives it; None when it did not start.
        told: whether the signal was passed on to it.
    """

    argv: Sequence[str]
    info: Path
    log: Path | None = None
    status: int | None = None
    told: bool = False


class Children:
    """The programs of a job.

    Args:
        children: in the order of their start.
        parallel: so many at a time.
        signal_name: of the signal that tells, e.g. USR2.
        seconds: how long a program that was told may go on; None for the rest of the job's time.
        final_signal: the signal that ends a program then, and SIGKILL follows.
        patience_s: so many seconds later.

    Attributes:
        told: whether the signal came; then no other program starts.
        ended: whether something else wants the job to end: scancel, Ctrl-C, ...
    """

    def __init__(
        self,
        children: Sequence[Child],
        parallel: int,
        *,
        signal_name: str,
        seconds: int | None,
        final_signal: signal.Signals,
        patience_s: int,
    ) -> None:
        self.told = self.ended = False
        self._waiting = list(children)
        self._parallel = parallel
        self._signal = signal.Signals[f"SIG{signal_name}"]
        self._seconds = seconds
        self._last_call = final_signal
        self._patience_s = patience_s
        self._running: dict[int, Child] = {}

    def run(self) -> None:
        """Start the programs and wait for them; what else the job script had started is not waited for."""
        # Nothing but SIGKILL ends this process: the terminal and the schedulers signal the programs, too
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._on_end)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda *_: None)
        signal.signal(self._signal, self._on_told)
        signal.signal(signal.SIGALRM, self._on_time_over)
        while True:
            while self._waiting and len(self._running) < self._parallel and not (self.told or self.ended):
                self._start(self._waiting.pop(0))
            if not self._running:
                break
            pid, status = os.wait()
            if pid in self._running:
                code = os.waitstatus_to_exitcode(status)
                self._running.pop(pid).status = code if code >= 0 else 128 - code
        signal.alarm(0)

    def _start(self, child: Child) -> None:
        try:
            self._running[start_program(child.argv, child.log)] = child
        except OSError as error:
            child.status = 127
            print(f"{child.argv[0]}: {error.strerror}", file=sys.stderr)
        if self.told and not child.told:  # the signal came just now
            self._pass_on()

    def _on_end(self, *_: object) -> None:
        self.ended = True

    def _on_told(self, *_: object) -> None:
        if self.told:  # OAR repeats it every 10 s, and a program may be saving its work
            return
        self.told = True
        self._pass_on()
        if self._seconds is not None:
            signal.alarm(self._seconds)

    def _pass_on(self) -> None:
        for pid, child in list(self._running.items()):
            child.told = True
            _send(pid, self._signal)

    def _on_time_over(self, *_: object) -> None:
        for pid in list(self._running):
            _send(pid, self._last_call)
        self._last_call = signal.SIGKILL
        signal.alarm(self._patience_s)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
