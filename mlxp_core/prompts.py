"""Asking the user at a terminal; what to ask is decided elsewhere."""

from __future__ import annotations

import sys
from typing import TextIO

from mlxp_core import console
from mlxp_core.errors import NoAnswerError
from mlxp_core.interrupts import wait_readable


def has_terminal() -> bool:
    """Whether there is somebody to ask."""
    return _is_terminal(sys.stdin) and (_is_terminal(sys.stdout) or _is_terminal(sys.stderr))


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def _shown() -> TextIO:
    """Where text is seen, also when stdout goes to a file or through a pipe."""
    return sys.stdout if _is_terminal(sys.stdout) else sys.stderr


def say(text: str) -> None:
    """Show text where it is seen."""
    console.say(text, _shown())


def choose(prompt: str, letters: str) -> str:
    """One of some letters; asked again until it is one."""
    while True:
        answer = ask(prompt).lower()
        if len(answer) == 1 and answer in letters:
            return answer
        say(f"{answer!r} is not one of {', '.join(letters)}.")


def ask(prompt: str) -> str:
    """The answer to a question, without the blanks around it.

    Raises:
        NoAnswerError: the input ended.
    """
    print(prompt, end="", file=_shown(), flush=True)
    # Not input(), which a signal that comes after the prompt and before its read does not end
    wait_readable(sys.stdin)
    answer = sys.stdin.readline()
    if not answer:
        raise NoAnswerError("The input ended before the question was answered. Nothing was launched.")
    return answer.strip()
