"""Create safe copies again that were deleted."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from mlxp_core.actions.copy_users import copy_of
from mlxp_core.actions.original_command import OriginalCommand, read_original_command
from mlxp_core.errors import MlxpError, SafeCopyError
from mlxp_core.runs.reader import RunRecord
from mlxp_core.versioning.copy_usage import hold_copy
from mlxp_core.versioning.links import check_links, copy_name, linked_paths
from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.safe_copy import safe_copy


def create_again(run: RunRecord, start: OriginalCommand, path: Path | None = None) -> Path:
    """Find or create the safe copy of a run's commit, and prevent its deletion until this process ends.

    Args:
        run: A run that used a safe copy.
        start: The command that started it.
        path: Preferred path of the copy; None for that of a new launch of the commit with the same links.

    Returns:
        The path of the copy: another one if files of the copy at `path` were changed or added.

    Raises:
        SafeCopyError: The repository or the commit no longer exists, or the copy cannot be created.
        OptionError: A path to link into the copy no longer exists.
        GitError: git failed.
    """
    recorded = run.info["version_manager"]
    root, commit = Path(recorded["repo_path"]), str(recorded["commit_hash"])
    repository = Repository(root)
    if not (root / ".git").exists():
        raise SafeCopyError(
            f"The safe copy of {run.path} cannot be created again, because the repository {root} no longer exists: put "
            "a clone of it there"
        )
    if "links" in recorded:
        links = [root / link for link in recorded["links"]]
    else:
        node = next(iter(start.callbacks("VersioningCallback").values()), {})
        origin = start.started_in or root
        links = [Path(os.path.realpath((origin / link).parent), Path(link).name) for link in node.get("links") or ()]
    copies = Path(recorded["safe_copy"]).parent
    check_links(repository, links)
    links = linked_paths(repository, links, copies)
    path = path or copies / copy_name(commit, repository, links)
    if not path.exists() and not repository.has(commit):
        raise SafeCopyError(
            f"The safe copy of {run.path} cannot be created again, because {root} no longer has commit {commit}: fetch "
            f"it there, for example with 'git fetch <remote> {commit}'"
        )
    return safe_copy(repository, commit, path, links)


def create_deleted_copies(runs: Sequence[RunRecord]) -> dict[str, str]:
    """Create the safe copies of runs again, where they were, and prevent their deletion until this process ends.

    Returns:
        By the path of a run, why its copy cannot be created.
    """
    reasons: dict[tuple[str, object], str] = {}
    refused = {}
    for run in runs:
        if (copy := copy_of(run)) is None:
            continue
        key = copy, run.launch.directory if run.launch is not None else run.path  # the links are the launch's
        if key not in reasons:
            reasons[key] = _create_if_deleted(run, Path(copy))
        if reasons[key]:
            refused[run.path] = reasons[key]
    return refused


def _create_if_deleted(run: RunRecord, copy: Path) -> str:
    """Create the safe copy of a run again if it was deleted; return why that is not possible, or ""."""
    if hold_copy(copy):
        return ""
    if os.path.lexists(copy):
        return f"{copy} is no longer its safe copy. Move it away, then the copy is created again"
    try:
        start = read_original_command(run)
        if create_again(run, start, copy) != copy:
            return f"its safe copy {copy} was deleted, and something else was put there"
        if start.cwd.is_relative_to(copy):
            start.cwd.mkdir(parents=True, exist_ok=True)  # git does not store empty directories
    except (MlxpError, OSError) as error:
        return str(error).removesuffix(".")
    return ""
