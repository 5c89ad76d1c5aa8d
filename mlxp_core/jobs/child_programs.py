"""The programs that a job runs, several at a time; a signal notifies them when its time limit approaches."""

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
class ChildProgram:
    """One program.

    Attributes:
        argv: Words of its command.
        info: Record of its run.
        log: Directory with log.stdout and log.stderr, to which its output is appended; None for the job's own output.
        process_id: Id of its process; None before its start.
        exit_status: Its exit status as a shell gives it, 128 + n for signal n; None if it has not started.
        notified: Whether it was sent the signal.
    """

    argv: Sequence[str]
    info: Path
    log: Path | None = None
    process_id: int | None = None
    exit_status: int | None = None
    notified: bool = False


class ChildPrograms:
    """The programs of a job.

    Args:
        programs: Programs in the order of their starts.
        parallel: Maximum number of concurrent programs.
        signal_name: Signal that notifies them, without SIG: USR2.
        grace_s: Time that a notified program has to end by itself, in seconds; None for the rest of the job's time.
        final_signal: Signal for programs that still run then.
        kill_grace_s: Time between that signal and SIGKILL, in seconds.

    Attributes:
        notified: Whether the signal came. No program starts after it.
        stopped: Whether another signal came that ends the job (scancel, Ctrl-C, ...).
    """

    def __init__(
        self,
        programs: Sequence[ChildProgram],
        parallel: int,
        *,
        signal_name: str,
        grace_s: int | None,
        final_signal: signal.Signals,
        kill_grace_s: int,
    ) -> None:
        self.notified = self.stopped = False
        self._waiting = list(programs)
        self._parallel = parallel
        self._signal = signal.Signals[f"SIG{signal_name}"]
        self._grace_s = grace_s
        self._final_signal = final_signal
        self._kill_grace_s = kill_grace_s
        self._running: dict[int, ChildProgram] = {}

    def run(self) -> None:
        """Start the programs and wait for them, but not for what else the job script has started."""
        # Only SIGKILL ends this process: terminals and schedulers signal the programs as well
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
                signal.signal(number, self._on_stop)
        for number in (signal.SIGUSR1, signal.SIGUSR2):
            signal.signal(number, lambda *_: None)
        signal.signal(self._signal, self._on_signal)
        signal.signal(signal.SIGALRM, self._on_alarm)
        while True:
            while self._waiting and len(self._running) < self._parallel and not (self.notified or self.stopped):
                self._start(self._waiting.pop(0))
            if not self._running:
                break
            pid, status = os.wait()
            if pid in self._running:
                code = os.waitstatus_to_exitcode(status)
                self._running.pop(pid).exit_status = code if code >= 0 else 128 - code
        signal.alarm(0)
        # Python resets its own handlers at its end, and OAR repeats the signal
        for number in (signal.SIGUSR1, signal.SIGUSR2, self._signal):
            signal.signal(number, signal.SIG_IGN)

    def _start(self, program: ChildProgram) -> None:
        try:
            pid = start_program(program.argv, program.log)
        except OSError as error:
            program.exit_status = 127
            print(f"{program.argv[0]}: {error.strerror}", file=sys.stderr)
            return
        program.process_id = pid
        self._running[pid] = program
        if self.notified and not program.notified:  # the signal came between the start and this entry
            self._notify(pid, program)

    def _notify(self, pid: int, program: ChildProgram) -> None:
        """Send a program the signal, once: a second one could end it while it saves its work."""
        program.notified = True
        _send(pid, self._signal)

    def _on_stop(self, *_: object) -> None:
        self.stopped = True

    def _on_signal(self, *_: object) -> None:
        if self.notified:  # OAR repeats the signal every 10 s
            return
        self.notified = True
        for pid, program in list(self._running.items()):
            self._notify(pid, program)
        if self._grace_s is not None:
            signal.alarm(self._grace_s)

    def _on_alarm(self, *_: object) -> None:
        for pid in list(self._running):
            _send(pid, self._final_signal)
        self._final_signal = signal.SIGKILL
        signal.alarm(self._kill_grace_s)


def _send(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
