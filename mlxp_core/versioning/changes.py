"""The few changes that we make to the user's repository: staging files, committing, keeping a commit."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mlxp_core.errors import GitError
from mlxp_core.versioning.repository import Repository, in_batches, literally, printable

COMMIT_MESSAGE = "MLXP: Automatically committing all changes"
_KEEP_MESSAGE = "MLXP: Keeping uncommitted changes for one launch"


class Staging:
    """Files of which the user says that git shall have them, until it is known what becomes of them.

    They are really in the index, where git, its hooks and the user in another window see them; `undo` makes the index
    what it was, byte by byte.
    """

    def __init__(self, repository: Repository) -> None:
        self._repository = repository
        self._index = repository.git_path("index")
        self._before = self._after = b""
        self._before_ns = 0
        self._staged: list[str] = []

    def add(self, paths: Sequence[str]) -> None:
        """Stage untracked paths.

        Raises:
            GitError: git does not take them, or one is a repository of its own.
        """
        for path in paths:
            if (self._repository.root / path / ".git").exists():
                raise GitError(
                    f"{printable(path)} in {self._repository.root} is a git repository of its own, whose files cannot "
                    "be added here: make it a submodule (git submodule add), or ignore it."
                )
        if not self._staged and self._index.exists():
            self._before, self._before_ns = self._index.read_bytes(), self._index.stat().st_mtime_ns
        for some in in_batches(paths):
            self._repository.git("add", "--", *map(literally, some))
        self._staged += paths
        self._after = self._index.read_bytes()

    def undo(self) -> None:
        """Take back what was staged; what others staged meanwhile stays."""
        if not self._staged:
            return
        if self._before and self._index.read_bytes() == self._after:
            lock = self._index.with_name("index.lock")  # git's own way to write it whole, one at a time
            with lock.open("xb") as file:
                file.write(self._before)
            _set_time(lock, self._before_ns)
            lock.replace(self._index)
        else:
            for some in in_batches(self._staged):
                self._repository.git("rm", "-r", "-q", "--cached", "--ignore-unmatch", "--", *map(literally, some))
        self.settle()

    def settle(self) -> None:
        """What was staged stays so, or is committed: there is nothing to undo any more."""
        self._staged = []


def _set_time(index: Path, time_ns: int) -> None:
    """Give an index the time of the one that it is a copy of.

    git takes a file that changed after its index for changed, whatever its size and time are: a younger index would
    hide a change that was made within the same second (gitformat-index, racy-git).
    """
    os.utime(index, ns=(time_ns, time_ns))


def check_identity(repository: Repository) -> None:
    """Make sure that git knows whose commit it would be.

    Raises:
        GitError: user.name or user.email is not set.
    """
    try:
        for person in ("GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"):
            repository.git("var", person)
    except GitError as error:
        raise GitError(
            "git does not know whose commit this would be: set git config --global user.name and user.email, then "
            "launch again."
        ) from error


def commit_all(repository: Repository) -> str:
    """Commit all changes of tracked files to the branch; return what git said.

    Raises:
        GitError: git, or a hook, refused.
    """
    return os.fsdecode(repository.git("commit", "--all", "--message", COMMIT_MESSAGE)).strip()


def keep_changes(repository: Repository, head: str) -> str:
    """Make a commit of all changes of tracked files that no branch knows; return its full hash.

    It is made from a copy of the index. Its date is that of its parent, so that the same changes are the same commit,
    and find the same safe copy, when they are launched again.

    Raises:
        GitError: git refused.
    """
    index = repository.git_path("index")
    date = os.fsdecode(repository.git("show", "--no-patch", "--format=%cI", head)).strip()
    with tempfile.TemporaryDirectory(prefix="mlxp-") as directory:
        copy = Path(directory, "index")
        copy.write_bytes(index.read_bytes())
        _set_time(copy, index.stat().st_mtime_ns)
        env = {"GIT_INDEX_FILE": str(copy), "GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
        repository.git("add", "--update", env=env)
        tree = os.fsdecode(repository.git("write-tree", env=env)).strip()
        answer = repository.git("commit-tree", tree, "-p", head, "-m", _KEEP_MESSAGE, env=env)
    return os.fsdecode(answer).strip()


def keep_commit(repository: Repository, commit: str) -> None:
    """See to it that git never collects a commit that a run used, whatever becomes of its branch.

    Raises:
        GitError: git refused.
    """
    name = f"refs/mlxp/{commit}"
    with suppress(GitError):
        if repository.git("rev-parse", "--verify", "--quiet", name):
            return
    repository.git("update-ref", name, commit)
