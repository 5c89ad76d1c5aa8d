"""Compare source files with what a launch recorded of them: changed files and added modules, at the start of a run.

The launch writes a snapshot, once for a safe copy or for a state of the repository (see snapshot.py). The check reads
directories and starts no git: many jobs start at once, and concurrent git commands on one repository fail at random.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Mapping, Set
from pathlib import Path
from typing import Any, NamedTuple

from mlxp_core.versioning.git_command import printable

# File in the git directory of a safe copy
SNAPSHOT = "mlxp-snapshot"
# Files that Python imports, and files that Hydra composes
MODULES = (".py", ".pyc", ".so")
CONFIGS = (".yaml", ".yml")

# Number of paths in each list of a record
RECORDED_FILES = 1_000
# Keys that each start of a run adds to the record of its code: source files that differ from what the launch recorded,
# and modules that were not loaded from the safe copy
CHANGED_AT_START, LOADED_FROM_REPOSITORY = "changed_at_start", "loaded_from_repository"
ADDED_BY_RUNS = (CHANGED_AT_START, LOADED_FROM_REPOSITORY)

log = logging.getLogger(__name__)

# Size, modification time in ns, and git's hash of the content; None for a directory
State = tuple[int, int, str] | None


class Snapshot(NamedTuple):
    """Files of a work tree; all paths are relative to its root, and the root is "".

    Attributes:
        files: State of each file, by directory and name.
        searched: Directories in which added files count: those with tracked modules or configs, and those above them.
        configs: Directories with tracked configs, without the root: groups of configs can be added there.
    """

    files: Mapping[str, Mapping[str, State]]
    searched: Set[str]
    configs: Set[str]

    @classmethod
    def read(cls, file: Path) -> Snapshot:
        """Read a snapshot.

        Raises:
            OSError, ValueError: It cannot be read.
        """
        files, searched, configs = json.loads(file.read_bytes())
        return cls(files, set(searched), set(configs))

    def text(self) -> str:
        """Return the content of its file."""
        return json.dumps([self.files, sorted(self.searched), sorted(self.configs)])


def with_changed_files(info: dict[str, Any]) -> dict[str, Any]:
    """Add the source files that differ from what the launch recorded to a record with a version; warn about them."""
    version = info["version_manager"]
    copy = version.get("safe_copy")
    file = Path(copy, ".git", SNAPSHOT) if copy else version.get("snapshot")
    try:
        changed = changed_files(Path(copy or version["repo_path"]), Snapshot.read(Path(file))) if file else []
    except (OSError, ValueError, TypeError, KeyError) as error:
        log.warning(
            "Whether source files were changed since the launch is not known: %s cannot be read (%s).", file, error
        )
        changed = []
    version = {name: value for name, value in version.items() if name != CHANGED_AT_START}
    if changed:
        log.warning(
            "Source files in %s were changed or added since the launch recorded commit %s: %s.",
            copy or version["repo_path"],
            version.get("commit_hash"),
            ", ".join(changed[:10]) + (f" and {len(changed) - 10} more" if len(changed) > 10 else ""),
        )
        version[CHANGED_AT_START] = changed[:RECORDED_FILES]
    return {**info, "version_manager": version}


def changed_files(root: Path, snapshot: Snapshot) -> list[str]:
    """Return the files that were changed, removed or added since a snapshot, relative to the root."""
    found = []
    for directory, known in snapshot.files.items():
        if directory not in snapshot.searched:
            place = os.path.join(root, directory)
            found += [f"{directory}/{name}" for name, state in known.items() if _differs(f"{place}/{name}", state)]
    for directory in snapshot.searched:
        found += _changed_in(root, directory, snapshot)
    return sorted(map(printable, found))


def added_files(root: Path, snapshot: Snapshot) -> list[str]:
    """Return the modules and configs that a snapshot does not have, relative to the root."""
    found: list[str] = []
    for directory in snapshot.searched:
        known = snapshot.files.get(directory, {})
        found += _added(
            root, directory, [entry for entry in _entries(root, directory) if entry.name not in known], snapshot
        )
    return found


def _changed_in(root: Path, directory: str, snapshot: Snapshot) -> Iterator[str]:
    """Yield the differences in a directory that is searched for added files."""
    known = snapshot.files.get(directory, {})
    missing, others = dict(known), []
    for entry in _entries(root, directory):
        if entry.name not in known:
            others.append(entry)
        elif not _differs(entry.path, missing[entry.name], entry):
            del missing[entry.name]
    yield from (_join(directory, name) for name in missing)
    yield from _added(root, directory, others, snapshot)


def _added(root: Path, directory: str, entries: list[os.DirEntry[str]], snapshot: Snapshot) -> Iterator[str]:
    """Yield the modules and configs among entries that a snapshot does not have.

    In a directory that was added, only a package counts, and a group of configs: an application can write any number of
    other files there.
    """
    for entry in entries:
        name = _join(directory, entry.name)
        if entry.name.endswith((*MODULES, *CONFIGS)):
            yield name
        elif entry.name.isidentifier() and name not in snapshot.searched and entry.is_dir(follow_symlinks=False):
            if Path(entry.path, "__init__.py").exists():
                yield f"{name}/__init__.py"
            elif directory in snapshot.configs:
                yield from (f"{name}/{one.name}" for one in _entries(root, name) if one.name.endswith(CONFIGS))


def _entries(root: Path, directory: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(os.path.join(root, directory)) as entries:
            return list(entries)
    except OSError:  # removed: all of its files are missing
        return []


def _differs(path: str, state: State, entry: os.DirEntry[str] | None = None) -> bool:
    """Return whether a file is not as it was; the content is read only if size or time differ."""
    if state is None:
        return False
    size, time_ns, content = state
    try:
        now = entry.stat(follow_symlinks=False) if entry is not None else os.lstat(path)
        if now.st_size == size and now.st_mtime_ns == time_ns:
            return False
        return now.st_size != size or content_hash(Path(path), content) != content
    except OSError:
        return True


def content_hash(path: Path, like: str) -> str:
    """Return git's hash of a file or symbolic link, of the same kind (SHA-1 or SHA-256) as another hash.

    Raises:
        OSError: The file cannot be read.
    """
    from hashlib import sha1, sha256  # takes milliseconds, and few runs need it

    content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
    algorithm = sha256 if len(like) > 40 else sha1
    return algorithm(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
