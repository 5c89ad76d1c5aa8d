"""Run git, through GitPython, and read what it prints."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import CommandNotFoundError, GitError

# Variables that make git use a repository other than the one it is started in (git rev-parse --local-env-vars; git sets
# some of them for an application that a hook or an alias starts), or that change the meaning of pathspecs
LOCAL_VARIABLES = (
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_OBJECT_DIRECTORY", "GIT_DIR", "GIT_WORK_TREE"),
    *("GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE"),
    *("GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR"),
    *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
)
# Number of lines to show of an error message of git
_SHOWN_LINES = 5


def run_git(
    directory: Path, *arguments: str, env: Mapping[str, str] | None = None, settings: Sequence[str] = ()
) -> bytes:
    """Run git and return what it printed.

    Args:
        directory: Working directory.
        arguments: Subcommand and its arguments.
        env: Environment variables to add.
        settings: Configuration for this call, each `name=value`.

    Raises:
        GitError: git failed; the message includes git's own.
        CommandNotFoundError: git is not installed.
    """
    try:
        import git
    except ImportError:  # which GitPython raises if there is no program git
        raise CommandNotFoundError(
            "mlxp_versioning needs the program git, which is not on this machine: install it."
        ) from None
    given = [word for setting in settings for word in ("-c", setting)]
    command = [git.Git.GIT_PYTHON_GIT_EXECUTABLE or "git", *given, *arguments]
    # git does not rewrite the index to cache what it looked up, so it changes no file of the user and needs no lock. It
    # asks for no password, and fetches nothing (NO_LAZY_FETCH: git 2.44 and later).
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
        more = len(said) - _SHOWN_LINES
        shown = said[:_SHOWN_LINES] + ([f"... and {more} more lines"] if more > 0 else [])
        raise GitError(f"'git {arguments[0]}' failed in {directory}: " + ("\n".join(shown) or f"exit status {status}"))
    return stdout if isinstance(stdout, bytes) else stdout.encode()


@contextmanager
def _no_other_repository() -> Iterator[None]:
    """Remove LOCAL_VARIABLES from the environment: GitPython can add variables for git, but not remove them."""
    before = {name: os.environ.pop(name) for name in LOCAL_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def names_in(answer: bytes) -> list[str]:
    """Return the names in the output of a command with -z."""
    return [os.fsdecode(name) for name in answer.split(b"\0") if name]


def in_batches(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    """Split paths into batches that fit into one command line."""
    for start in range(0, len(paths), 300):
        yield paths[start : start + 300]


def literally(path: str) -> str:
    """Return a pathspec that matches only this path."""
    return f":(top,literal){path}"


def printable(name: str) -> str:
    """Escape line breaks, control characters and undecodable bytes, for a terminal or a YAML file."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def listed(names: Sequence[str]) -> str:
    """Return the first names for a message, separated by commas, and the number of the others."""
    more = len(names) - console.NAMED
    return ", ".join(map(printable, names[: console.NAMED])) + (f" and {more} more" if more > 0 else "")


def path_in(answer: bytes) -> str:
    """Return the only path in the output of a command."""
    return os.fsdecode(answer.removesuffix(b"\n"))
