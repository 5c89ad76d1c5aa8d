"""Ctrl-C and its kin: when they come, what has begun is finished or taken back, and then said."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# What a terminal sends to all programs in it
TERMINAL_SIGNALS = {signal.SIGINT, signal.SIGHUP}
STOP_SIGNALS = {*TERMINAL_SIGNALS, signal.SIGTERM}


@contextmanager
def interrupts_blocked(numbers: set[signal.Signals]) -> Iterator[None]:
    """Keep signals from this process and from programs that it starts; one that comes is delivered at the end."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Make SIGTERM, and the SIGHUP of a lost terminal, interrupt as Ctrl-C does; what is ignored (nohup) stays so.

    In another thread than the main one signals cannot be caught, and nothing changes.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
