"""Programs that run while a test looks at them."""

from __future__ import annotations

import os
import select
import subprocess
import time
from collections.abc import Callable
from typing import Literal


def read_until(
    process: subprocess.Popen[str], words: str, timeout_s: float = 900, *, of: Literal["stdout", "stderr"] = "stdout"
) -> str:
    """Return what a program prints to one of its streams, up to these words."""
    stream = getattr(process, of)
    assert stream is not None
    end, text = time.monotonic() + timeout_s, ""
    while words not in text:
        left = end - time.monotonic()
        ready, _, _ = select.select([stream], [], [], max(left, 0))
        assert ready, text
        part = os.read(stream.fileno(), 4096).decode()
        assert part, text + (process.stderr.read() if process.stderr else "")
        text += part
    return text


def wait_until(condition: Callable[[], bool], timeout_s: float = 900) -> None:
    """Wait until a condition holds."""
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.2)
