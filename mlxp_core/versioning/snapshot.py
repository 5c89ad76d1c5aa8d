"""Record the state of source files at a launch, with which source_check.py compares them when a run starts."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from mlxp_core.errors import RunDirectoryError
from mlxp_core.files import write_whole
from mlxp_core.versioning.checkout import submodules
from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.source_check import CONFIGS, MODULES, Snapshot, State, added_files, content_hash

# Directory in the git directory of the repository, for runs from the repository itself; the newest ones are kept
_DIRECTORY = "mlxp-snapshots"
_KEPT = 100
# All files with these suffixes are compared, and as many others: their number has no limit (data, images)
_SOURCES = (*MODULES, *CONFIGS, ".json", ".toml", ".cfg", ".ini", ".sh", ".pyx", ".c", ".cc", ".cpp", ".cu", ".h")
_MAX_OTHERS = 1_000


def take_snapshot(repository: Repository, commit: str, changed: Sequence[str] = ()) -> Snapshot:
    """Return the state of the files of a work tree.

    Args:
        repository: The work tree, which may be a safe copy.
        commit: Full hash of the commit that is checked out.
        changed: Tracked files that differ from the index.

    Raises:
        GitError: git failed.
    """
    root, differ, others = repository.root, set(changed), 0
    files: dict[str, dict[str, State]] = {}
    searched: set[str] = {""}
    configs: set[str] = set()
    for path, content in _tracked(repository, commit):
        directory, _, name = path.rpartition("/")
        if not name.endswith(_SOURCES):
            others += 1
            if others > _MAX_OTHERS:
                continue
        with suppress(OSError):  # not there: removed, or outside a sparse checkout
            files.setdefault(directory, {})[name] = _state(root / path, content, path in differ)
        if name.endswith((*MODULES, *CONFIGS)):
            searched |= {directory, *_above(directory)}
        if directory and name.endswith(CONFIGS):
            configs.add(directory)
    snapshot = Snapshot(files, searched, configs)
    for path in added_files(root, snapshot):  # links of this launch; untracked modules in the repository
        directory, _, name = path.rpartition("/")
        with suppress(OSError):
            files.setdefault(directory, {})[name] = _state(root / path, commit, True)
        if directory not in searched:  # a package or a group of configs is not compared further
            above, _, package = directory.rpartition("/")
            files.setdefault(above, {})[package] = None
    return snapshot


def keep_snapshot(repository: Repository, commit: str, changed: Sequence[str]) -> Path | None:
    """Write a snapshot of the repository into its git directory; return its path, None if it cannot be written.

    The same state is the same file. Old ones are deleted.

    Raises:
        GitError: git failed.
    """
    text = take_snapshot(repository, commit, changed).text()
    path = repository.common_directory / _DIRECTORY / sha256(text.encode()).hexdigest()[:20]
    try:
        write_whole(path, text)
        for old in sorted(path.parent.iterdir(), key=lambda one: one.stat().st_mtime)[:-_KEPT]:
            old.unlink()
    except (OSError, RunDirectoryError):
        return path if path.exists() else None
    return path


def _state(path: Path, content: str, is_other: bool) -> State:
    """Return the state of a file; its content is read if it is not the content that git has."""
    status = os.lstat(path)
    return status.st_size, status.st_mtime_ns, content_hash(path, content) if is_other else content


def _tracked(repository: Repository, commit: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the tracked files with the hash of their content, including those of submodules."""
    for entry in repository.git("ls-files", "--stage", "-z").split(b"\0")[:-1]:
        details, _, name = entry.partition(b"\t")
        mode, content, _ = details.split(b" ")
        if mode != b"160000":
            yield prefix + os.fsdecode(name), content.decode()
    for path, recorded in submodules(repository, commit):
        yield from _tracked(Repository(repository.root / path), recorded, f"{prefix}{path}/")


def _above(directory: str) -> Iterator[str]:
    """Yield the directories above a directory, without the root."""
    while "/" in directory:
        directory = directory.rpartition("/")[0]
        yield directory
