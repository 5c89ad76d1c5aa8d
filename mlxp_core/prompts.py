"""Ask the user a question on the terminal."""

from __future__ import annotations

import sys
from typing import Any, TextIO

from mlxp_core import console
from mlxp_core.errors import NoAnswerError


def has_terminal() -> bool:
    """Return whether a user can see questions and answer them."""
    return _is_terminal(sys.stdin) and (_is_terminal(sys.stdout) or _is_terminal(sys.stderr))


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()


def say(text: str) -> None:
    """Print a text that belongs to a question: on stdout, or on stderr if stdout is not a terminal."""
    console.say(text, sys.stdout if _is_terminal(sys.stdout) else sys.stderr)


def choose(prompt: str, letters: str) -> str:
    """Ask until the answer is one of some letters; return it in lower case.

    Raises:
        NoAnswerError: The input ended.
    """
    import click  # most programs that import this module never ask

    choice = click.Choice(list(letters), case_sensitive=False)
    return _prompt(prompt, value_proc=lambda answer: choice(answer.strip()))


def ask(prompt: str) -> str:
    """Ask for a text; return it without surrounding blanks, or "" if the user only pressed Enter.

    Raises:
        NoAnswerError: The input ended.
    """
    return _prompt(prompt, default="", show_default=False).strip()


def _prompt(text: str, **options: Any) -> str:
    import click

    try:
        answer: str = click.prompt(console.escaped(text), prompt_suffix="", err=not _is_terminal(sys.stdout), **options)
    except click.Abort as abort:  # click's answer to both Ctrl-C and the end of the input
        if isinstance(abort.__context__, EOFError):
            raise NoAnswerError("The input ended before the question was answered. Nothing was launched.") from None
        raise KeyboardInterrupt from None
    return answer
