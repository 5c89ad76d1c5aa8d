"""Running git, through GitPython, and reading what it prints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlxp_core.errors import CommandNotFoundError, GitError

# Variables that name another repository than the one in which git is started (git rev-parse --local-env-vars; a git
# hook or alias that starts the application sets some), or give pathspecs another meaning
LOCAL_VARIABLES = (
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_OBJECT_DIRECTORY", "GIT_DIR", "GIT_WORK_TREE"),
    *("GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE"),
    *("GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR"),
    *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
)
# Lines of an error of git's that are shown
_SHOWN_LINES = 5


def run_git(
    directory: Path, *arguments: str, env: Mapping[str, str] | None = None, settings: Sequence[str] = ()
) -> bytes:
    """Run git in a directory and return what it printed.

    Args:
        directory: where it is started.
        arguments: git's own command, and what follows.
        env: variables to add.
        settings: configuration for this call, `name=value`.

    Raises:
        GitError: it failed; the message holds git's own.
        CommandNotFoundError: it is not on this machine.
    """
    try:
        import git
    except ImportError:  # GitPython's own way to say so
        raise CommandNotFoundError(
            "mlxp_versioning needs the program git, which is not on this machine: install it."
        ) from None
    given = [word for setting in settings for word in ("-c", setting)]
    command = [git.Git.GIT_PYTHON_GIT_EXECUTABLE or "git", *given, *arguments]
    # No index is rewritten only to note what was looked up, so that nothing of the user's changes and no lock is met;
    # nobody is asked for a password, and nothing fetched (read by git 2.44 and later).
    quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
    with _no_other_repository():
        status, stdout, stderr = git.Git(str(directory)).execute(
            command,
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            env={**quiet, **(env or {})},
        )
    if status != 0:
        texts = [text if isinstance(text, str) else os.fsdecode(text) for text in (stderr, stdout)]
        said = (texts[0].strip() or texts[1].strip()).splitlines()
        shown = [
            *said[:_SHOWN_LINES],
            *([f"... and {len(said) - _SHOWN_LINES} lines more"] * (len(said) > _SHOWN_LINES)),
        ]
        raise GitError(f"'git {arguments[0]}' failed in {directory}: " + ("\n".join(shown) or f"exit status {status}"))
    return stdout if isinstance(stdout, bytes) else stdout.encode()


@contextmanager
def _no_other_repository() -> Iterator[None]:
    """GitPython hands its own environment on to git, and takes values to add but none to leave out."""
    before = {name: os.environ.pop(name) for name in LOCAL_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def names_in(answer: bytes) -> list[str]:
    """The names in an answer that was asked for with -z."""
    return [os.fsdecode(name) for name in answer.split(b"\0") if name]


def in_batches(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    """Paths, as many at a time as one command line can hold."""
    for start in range(0, len(paths), 300):
        yield paths[start : start + 300]


def literally(path: str) -> str:
    """A pathspec that means this path and no pattern."""
    return f":(top,literal){path}"


def printable(name: str) -> str:
    """A name that a terminal and a yaml file can show: line breaks, control characters and stray bytes escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def path_in(answer: bytes) -> str:
    """The one path in an answer."""
    return os.fsdecode(answer.removesuffix(b"\n"))
