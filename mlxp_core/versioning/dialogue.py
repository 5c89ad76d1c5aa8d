"""The questions of mlxp_versioning to the user, as the manual shows them."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path

from mlxp_core import console
from mlxp_core.prompts import ask, choose, say
from mlxp_core.versioning.git_command import printable
from mlxp_core.versioning.repository import Repository, Status

_LARGE_BYTES = 10_000_000
_SECRETS = (
    *(".env", ".env.*", "*.pem", "*.key", "*.p12", "*.pfx", "*.kdbx", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519"),
    *(".netrc", ".pypirc", ".npmrc", ".git-credentials", "credentials", "credentials.*", "secrets.*", "*_secret*"),
)
_NO_SECRETS = ("*.example", "*.sample", "*.template", "*.py")


def ask_untracked(repository: Repository, status: Status) -> str:
    """Ask what to do with untracked files: `a` add, `b` check again, `c` ignore."""
    say("There are untracked files in the repository:\n")
    shown = status.untracked[: console.NAMED]
    files = repository.untracked_files(shown) if any(path.endswith("/") for path in shown) else shown
    _list([f"{printable(path)} ({_size(repository.root, path, files)})" for path in shown], status.untracked)
    say(
        "How would you like to handle untracked files? (a/b/c)\n\n"
        "a: Add untracked files directly from here?\n"
        "b: Check again for untracked files (assuming you manually added them).\n"
        "c: Ignore untracked files.\n"
    )
    return choose("[Untracked files]: Please enter your choice (a/b/c): ", "abc")


def ask_which(repository: Repository, untracked: Sequence[str]) -> list[str]:
    """Ask which untracked paths to add, after warnings about those that should perhaps not be added."""
    for warning in doubts(repository, untracked):
        say(f"Warning: {warning}")
    by_name = {printable(path): path for path in untracked}
    while True:
        answer = ask("Which files? (all, or names separated by commas): ")
        if answer == "all" and answer not in by_name:
            return list(untracked)
        names = [answer] if answer in by_name else [name.strip() for name in answer.split(",") if name.strip()]
        unknown = [name for name in names if name not in by_name and f"{name}/" not in by_name]
        if names and not unknown:
            return [by_name.get(name) or by_name[f"{name}/"] for name in names]
        problem = f"Not in the list: {', '.join(unknown)}." if unknown else "Name at least one file."
        say(f"{problem} 'all' adds all files.")


def ask_uncommitted(status: Status) -> str:
    """Ask what to do with changes: `a` commit, `b` check again, `c` ignore, `d` keep for this launch."""
    say("There are uncommitted changes in the repository:\n")
    _list([printable(path) for path in status.changed[: console.NAMED]], status.changed)
    say(
        "How would you like to handle uncommitted changes? (a/b/c/d)\n\n"
        "a: Create a new automatic commit before launching jobs.\n"
        "b: Check again for uncommitted changes (assuming you manually committed them).\n"
        "c: Ignore uncommitted changes.\n"
        "d: Keep them for this launch only: run them without committing to your branch.\n"
    )
    return choose("[Uncommitted changes]: Please enter your choice (a/b/c/d): ", "abcd")


def ask_run_from(copy: Path) -> str:
    """Ask where to run the code: `a` in the safe copy, `b` in the repository."""
    say(
        "Where would you like to run your code from? (a/b):\n\n"
        "a: Create a copy of the repository based on the latest commit and execute code from there.\n"
        f"The copy will be created in {copy}\n"
        "b: Execute code from the main repository\n"
    )
    return choose("Please enter your answer (a/b): ", "ab")


def doubts(repository: Repository, untracked: Sequence[str]) -> list[str]:
    """Return a sentence for each untracked file that is large or looks like a secret."""
    from rich.filesize import decimal

    found = []
    for path in repository.untracked_files(untracked):
        name, size = path.rpartition("/")[2], _bytes([repository.root / path])
        if _matches(name, _SECRETS) and not _matches(name, _NO_SECRETS):
            found.append(f"{printable(path)} looks like a secret.")
        elif size > _LARGE_BYTES:
            found.append(f"{printable(path)} is large ({decimal(size)}).")
    return found


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name.lower(), pattern) for pattern in patterns)


def _list(lines: Sequence[str], everything: Sequence[str]) -> None:
    more = len(everything) - len(lines)
    say("\n".join([*lines, *([f"... and {more} more"] if more else []), ""]))


def _size(root: Path, path: str, files: Sequence[str]) -> str:
    """Return the size of a file; for a directory, the number and total size of the files in it."""
    from rich.filesize import decimal

    if not path.endswith("/"):
        return decimal(_bytes([root / path]))
    inside = [root / file for file in files if file.startswith(path)]
    return f"{console.count(inside, 'file')}, {decimal(_bytes(inside))}"


def _bytes(files: Sequence[Path]) -> int:
    return sum(os.lstat(file).st_size for file in files if os.path.lexists(file))
