"""The few changes that we make to the user's repository: staging files, committing, keeping a commit."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from mlxp_core.errors import GitError
from mlxp_core.interrupts import STOP_SIGNALS, interrupts_blocked
from mlxp_core.versioning.checkout import submodules
from mlxp_core.versioning.git_command import literally, printable
from mlxp_core.versioning.repository import Repository

COMMIT_MESSAGE = "MLXP: Automatically committing all changes"
# How long another git process may keep the index to itself
_PATIENCE_S = 5
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
        self.paths: list[str] = []

    def add(self, paths: Sequence[str]) -> None:
        """Stage untracked paths.

        Raises:
            GitError: git does not take them, or one is a repository of its own.
        """
        check_addable(self._repository, paths)
        with interrupts_blocked(STOP_SIGNALS):
            if not self.paths and self._index.exists():
                self._before, self._before_ns = self._index.read_bytes(), self._index.stat().st_mtime_ns
            self.paths += paths
            try:
                _with_paths(self._repository, ["add"], paths)
            finally:
                self._after = self._index.read_bytes()

    def undo(self) -> None:
        """Take back what was staged; what others staged meanwhile stays.

        Raises:
            GitError: another git process keeps the index to itself.
        """
        added, self.paths = self.paths, []  # tried once
        if not added:
            return
        with interrupts_blocked(STOP_SIGNALS):
            if self._before and self._index.read_bytes() == self._after:
                self._put_back(len(added))
            else:
                _with_paths(self._repository, ["rm", "-r", "-q", "--cached", "--ignore-unmatch"], added)

    def _put_back(self, added: int) -> None:
        lock = self._index.with_name("index.lock")  # git's own way to write it whole, one at a time
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                with lock.open("xb") as file:
                    file.write(self._before)
                break
            except FileExistsError:
                if time.monotonic() > end:
                    raise GitError(
                        f"Another git process is at work in {self._repository.root} ({lock} exists), so "
                        f"{added} added files stay staged: 'git restore --staged' takes them back."
                    ) from None
                time.sleep(0.1)
        _set_time(lock, self._before_ns)
        lock.replace(self._index)

    def settle(self) -> None:
        """What was staged stays so, or is committed: there is nothing to undo any more."""
        self.paths = []


def check_addable(repository: Repository, paths: Sequence[str]) -> None:
    """Make sure that untracked paths are files that a commit can hold.

    Raises:
        GitError: one is, or holds, a repository of its own, of which a commit would hold the name alone.
    """
    nested = [path for path in repository.untracked_files(paths) if path.endswith("/")]
    if nested:
        raise GitError(
            f"{printable(nested[0])} in {repository.root} is a git repository of its own, whose files cannot be added "
            "here: make it a submodule (git submodule add), or ignore it."
        )


def _with_paths(
    repository: Repository, command: Sequence[str], paths: Sequence[str], env: Mapping[str, str] | None = None
) -> None:
    """Run a git command with any number of paths, which reads the index and writes it once."""
    with tempfile.NamedTemporaryFile(prefix="mlxp-") as file:
        file.write(b"\0".join(os.fsencode(literally(path)) for path in paths))
        file.flush()
        repository.git(*command, f"--pathspec-from-file={file.name}", "--pathspec-file-nul", env=env)


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


def keep_changes(repository: Repository, head: str, added: Sequence[str] = ()) -> str:
    """Make a commit that no branch knows, of all changes of tracked files and of untracked ones to add; its full hash.

    It is made from a copy of the index. Its date is that of its parent, so that the same changes are the same commit,
    and find the same safe copy, when they are launched again.

    Raises:
        GitError: git refused.
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
        tree = os.fsdecode(repository.git("write-tree", env=env)).strip()
        answer = repository.git("commit-tree", tree, "-p", head, "-m", _KEEP_MESSAGE, env=env)
    return os.fsdecode(answer).strip()


def keep_commit(repository: Repository, commit: str) -> None:
    """See to it that git never collects a commit that a run used, whatever becomes of its branch; nor its submodules'.

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
