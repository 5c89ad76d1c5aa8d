"""The options of mlxp_versioning, and the record of the code that runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
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
    """The values in force of `hydra.callbacks.mlxp_versioning`; VersioningConf describes them.

    Raises:
        OptionError: A value is not one of its choices.
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
                raise OptionError(f"{option(name)} must be {one_of(choices)}, got {getattr(self, name)}.")


@dataclass(frozen=True)
class Version:
    """The code that runs, as info.yaml records it under `version_manager`.

    Attributes:
        commit_hash: Full hash of the commit.
        repo_path: Root of the user's work tree.
        branch: Name of the branch; None if HEAD is detached.
        uncommitted: What happened to uncommitted changes: committed, kept, ignored, or none (there were none).
        untracked: Untracked files, which are not in the commit.
        requirements: Distributions that the code imports, each `name==version`.
        safe_copy: Root of the safe copy from which the code runs; None if it runs from the repository.
        links: Untracked paths that are linked into the safe copy, relative to the root; recorded if there are any.
        snapshot: File with the state of the source files at the launch, if the code runs from the repository.
    """

    commit_hash: str
    repo_path: str
    branch: str | None
    uncommitted: str
    untracked: list[str]
    requirements: list[str]
    safe_copy: str | None
    links: list[str] = field(default_factory=list)
    snapshot: str | None = None

    def record(self) -> dict[str, Any]:
        """Return the record as plain data."""
        record = asdict(self)
        return {name: value for name, value in record.items() if value or name not in ("links", "snapshot")}


@dataclass(frozen=True)
class ResolvedVersion:
    """The version that a process resolved.

    Attributes:
        version: Record for info.yaml.
        started_in: Working directory of the program as the user started it.
    """

    version: dict[str, Any]
    started_in: Path


def option(name: str) -> str:
    """Return the full name of an option."""
    return f"hydra.callbacks.mlxp_versioning.{name}"


def one_of(choices: tuple[str, ...]) -> str:
    """Return choices as words in a sentence: `a, b or c`."""
    return f"{', '.join(choices[:-1])} or {choices[-1]}"
