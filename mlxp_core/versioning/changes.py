"""Everything that changes the user's repository: staging files, committing, keeping a commit."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mlxp_core import console
from mlxp_core.errors import GitError
from mlxp_core.interrupts import STOP_SIGNALS, interrupts_blocked
from mlxp_core.versioning.checkout import submodules
from mlxp_core.versioning.git_command import listed, literally, names_in, printable
from mlxp_core.versioning.repository import Repository

COMMIT_MESSAGE = "MLXP: Automatically committing all changes"
_KEEP_MESSAGE = "MLXP: Keeping uncommitted changes for one launch"
# How long to wait for another git process to release the index
_LOCK_TIMEOUT_S = 5


class Staging:
    """Untracked files that the user chose to add, until they are committed or the launch stops.

    They are staged in the real index, where git, its hooks and the user in another terminal see them. `undo` restores
    the previous index byte for byte, but only if the index and HEAD are still what `add` left.
    """

    def __init__(self, repository: Repository) -> None:
        self.paths: list[str] = []
        self._repository = repository
        self._index = repository.git_path("index")
        self._lock = self._index.with_name("index.lock")
        # The index to restore and its time, and what HEAD and the index were after `add`
        self._before: tuple[bytes, int] | None = None
        self._after: tuple[bytes, bytes] | None = None

    def add(self, paths: Sequence[str]) -> None:
        """Stage untracked paths.

        Raises:
            GitError: git refuses a path, or a path is or contains another git repository.
        """
        check_addable(self._repository, paths)
        with interrupts_blocked(STOP_SIGNALS):
            head, entries = self._state()
            if (head, entries) != self._after:  # the first call, or another program changed the index since
                there = self._index.exists()
                self._before = (self._index.read_bytes(), self._index.stat().st_mtime_ns) if there else None
            self.paths += paths
            try:
                # A split index refers to a file that git may delete when it writes a new one
                _with_paths(self._repository, ["add"], paths, settings=("core.splitIndex=false",))
            finally:
                self._after = self._state()
                if self._after[0] != head:  # a commit was made at the same time, perhaps of these files
                    self._before = None

    def confirm(self) -> None:
        """Keep the files staged, or committed: `undo` has no effect on them."""
        self.paths = []

    def undo(self) -> str:
        """Unstage the files.

        Returns:
            A sentence about the files that stay staged, and why; "" if there are none.
        """
        added, self.paths = self.paths, []  # tried once
        if not added:
            return ""
        with interrupts_blocked(STOP_SIGNALS):
            reason = f"the index or HEAD of {self._repository.root} was changed by another program"
            try:
                self._restore()
            except GitError:
                pass
            except FileExistsError:
                reason = f"another git process is at work in {self._repository.root} ({self._lock} exists)"
            except OSError as error:
                reason = f"{self._lock} cannot be written ({error.strerror})"
            staged = self._repository.staged_files(added)
        if not staged:
            return ""
        stay, them = ("stays", "it") if len(staged) == 1 else ("stay", "them")
        return (
            f"{console.count(staged, 'added file')} {stay} staged, because {reason}: 'git restore --staged <file>' "
            f"unstages {them}."
        )

    def _state(self) -> tuple[bytes, bytes]:
        """Return HEAD and the entries of the index, which `git status` does not change when it rewrites the file."""
        return self._repository.git("rev-parse", "HEAD"), self._repository.git("ls-files", "--stage", "-v", "-z")

    def _restore(self) -> None:
        """Put the previous index back, under git's own lock, if nothing changed since `add`.

        Raises:
            FileExistsError: Another process holds the lock for too long.
            OSError: The index cannot be written.
            GitError: The previous index cannot be read.
        """
        end = time.monotonic() + _LOCK_TIMEOUT_S
        while True:
            try:
                self._lock.touch(exist_ok=False)
                break
            except FileExistsError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        restored = False
        try:
            if self._before is not None and self._state() == self._after:
                content, time_ns = self._before
                self._lock.write_bytes(content)
                _set_time(self._lock, time_ns)
                # Fails if it is a split index, and another program deleted the file that it refers to
                self._repository.git("ls-files", env={"GIT_INDEX_FILE": str(self._lock)})
                self._lock.replace(self._index)
                restored = True
        finally:
            if not restored:  # otherwise a file of this name belongs to another process
                self._lock.unlink()


def check_addable(repository: Repository, paths: Sequence[str]) -> None:
    """Check that a commit can hold the files behind untracked paths.

    Raises:
        GitError: A path is or contains another git repository; a commit would hold only its commit id.
    """
    nested = [path for path in repository.untracked_files(paths) if path.endswith("/")]
    if nested:
        raise GitError(
            f"{printable(nested[0])} in {repository.root} is a git repository of its own, whose files cannot be added "
            "here: make it a submodule (git submodule add), or ignore it."
        )


def _with_paths(
    repository: Repository,
    command: Sequence[str],
    paths: Sequence[str],
    env: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
) -> None:
    """Run a git command on any number of paths, in one call that reads and writes the index once."""
    with tempfile.NamedTemporaryFile(prefix="mlxp-") as file:
        file.write(b"\0".join(os.fsencode(literally(path)) for path in paths))
        file.flush()
        repository.git(*command, f"--pathspec-from-file={file.name}", "--pathspec-file-nul", env=env, settings=settings)


def _set_time(index: Path, time_ns: int) -> None:
    """Give the copy of an index the modification time of the original.

    git treats a file that changed after its index as modified, whatever its size and time are. A younger index would
    hide a change that was made within the same second (gitformat-index, racy-git).
    """
    os.utime(index, ns=(time_ns, time_ns))


def check_identity(repository: Repository) -> None:
    """Check that git knows the author and committer of a new commit.

    Raises:
        GitError: user.name or user.email is not set.
    """
    try:
        for person in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
            repository.git("var", person)
    except GitError as error:
        raise GitError(
            "git does not know the author of the commit: set git config --global user.name and user.email, then launch "
            "again."
        ) from error


def commit_all(repository: Repository) -> str:
    """Commit all changes of tracked files to the branch; return git's output.

    Raises:
        GitError: git, or a hook, refused.
    """
    return os.fsdecode(repository.git("commit", "--all", "--message", COMMIT_MESSAGE)).strip()


def keep_changes(repository: Repository, head: str, added: Sequence[str] = ()) -> str:
    """Commit all changes of tracked files, and some untracked files, to no branch; return the full hash.

    The commit is made from a copy of the index. It has the date of its parent, so that the same changes launched again
    are the same commit and use the same safe copy.

    Raises:
        GitError: git refused, or leaves changes out.
    """
    index = repository.git_path("index")
    unsigned = ["log.showSignature=false"]
    date = os.fsdecode(repository.git("show", "--no-patch", "--format=%cI", head, settings=unsigned)).strip()
    with tempfile.TemporaryDirectory(prefix="mlxp-") as directory:
        copy = Path(directory, "index")
        copy.write_bytes(index.read_bytes())
        _set_time(copy, index.stat().st_mtime_ns)
        env = {"GIT_INDEX_FILE": str(copy), "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        repository.git("add", "--update", env=env)
        if added:
            _with_paths(repository, ["add"], added, env)
        rest = repository.git("diff", "--no-ext-diff", "--name-only", "-z", "--ignore-submodules=all", env=env)
        if left_out := names_in(rest):
            raise GitError(
                f"git leaves changes in {repository.root} out of the commit: {listed(left_out)}. If they are outside "
                "the sparse checkout, include them (git sparse-checkout add <directory>), or undo the changes."
            )
        tree = os.fsdecode(repository.git("write-tree", env=env)).strip()
        answer = repository.git("commit-tree", tree, "-p", head, "-m", _KEEP_MESSAGE, env=env)
    return os.fsdecode(answer).strip()


def keep_commit(repository: Repository, commit: str) -> None:
    """Make a ref for a commit that a run uses, and for its submodules' commits, so that git never collects them.

    Raises:
        GitError: git refused.
    """
    name = f"refs/mlxp/{commit}"
    with suppress(GitError):
        if repository.git("rev-parse", "--verify", "--quiet", name):
            return
    repository.git("update-ref", name, commit)
    for path, recorded in submodules(repository, commit):
        keep_commit(Repository(repository.root / path), recorded)
