"""Ctrl-C, SIGTERM and a lost terminal: each interrupts a program only where that leaves a consistent state."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# What stops a program: Ctrl-C, the end of its terminal, a polite kill
STOP_SIGNALS = {signal.SIGINT, signal.SIGHUP, signal.SIGTERM}


@contextmanager
def interrupts_blocked(numbers: set[signal.Signals]) -> Iterator[None]:
    """Block signals in this process and in programs that it starts; deliver them at the end of the block."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def interrupts_deferred() -> Iterator[Callable[[], None]]:
    """Let stop signals interrupt this process only where the block calls the yielded function, and at its end.

    Unlike with `interrupts_blocked`, programs that are started in the block receive signals as usual. Outside of the
    main thread, where Python handles no signals, nothing changes.

    Raises:
        KeyboardInterrupt: A stop signal arrived and the block did not raise an exception of its own.
    """
    received: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in STOP_SIGNALS:
            if callable(signal.getsignal(number)):  # neither ignored (nohup) nor fatal
                before[number] = signal.signal(number, lambda number, _: received.append(number))

    def interrupt_here() -> None:
        if received:
            raise KeyboardInterrupt

    try:
        yield interrupt_here
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    interrupt_here()


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise KeyboardInterrupt on SIGTERM and SIGHUP too, unless the signal is ignored (nohup).

    Outside of the main thread, where Python handles no signals, nothing changes.
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
