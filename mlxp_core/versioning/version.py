"""The options of mlxp_versioning, and what it says of the code that runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlxp_core.errors import OptionError

CHOICES = {
    "untracked": ("ask", "add", "ignore", "refuse"),
    "uncommitted": ("ask", "commit", "keep", "ignore", "refuse"),
    "run_from": ("ask", "copy", "repository"),
}


@dataclass(frozen=True)
class VersioningOptions:
    """What `hydra.callbacks.mlxp_versioning` says; README lists the meanings.

    Raises:
        OptionError: a value that is none of the choices.
    """

    untracked: str
    uncommitted: str
    run_from: str
    parent_work_dir: Path
    compute_requirements: bool
    links: tuple[Path, ...]

    def __post_init__(self) -> None:
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise OptionError(f"{option(name)}={getattr(self, name)} cannot be: it is {one_of(choices)}.")


@dataclass(frozen=True)
class Version:
    """Which code runs, as info.yaml records it under `version_manager`.

    Attributes:
        commit_hash: full hash.
        repo_path: the user's work tree.
        branch: None when HEAD is detached.
        uncommitted: what became of changes: committed, kept, ignored, or none.
        untracked: files that git did not know, and that are not in the commit.
        requirements: `name==version` of distributions that the code imports.
        safe_copy: the root of the copy from which the code runs; None when it is the repository itself.
    """

    commit_hash: str
    repo_path: str
    branch: str | None
    uncommitted: str
    untracked: list[str]
    requirements: list[str]
    safe_copy: str | None

    def record(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


@dataclass(frozen=True)
class ResolvedVersion:
    """What a process settled of the code that runs.

    Attributes:
        version: the record for info.yaml.
        started_in: where the user started the program.
    """

    version: dict[str, Any]
    started_in: Path


def option(name: str) -> str:
    """The full name of an option."""
    return f"hydra.callbacks.mlxp_versioning.{name}"


def one_of(choices: tuple[str, ...]) -> str:
    """Choices as a sentence has them: `a, b or c`."""
    return f"{', '.join(choices[:-1])} or {choices[-1]}"
