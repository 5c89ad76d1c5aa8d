"""Read the state of a git work tree. Nothing here changes it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlxp_core.errors import GitError
from mlxp_core.versioning.git_command import in_batches, names_in, path_in, printable, run_git

_SUBMODULE = "the submodule has uncommitted changes: commit them there"
_HIDDEN = (
    "git ignores changes in it: undo that with 'git update-index --no-assume-unchanged --no-skip-worktree -- <file>'"
)
# Tags by ls-files -v of files that git compares; S is skip-worktree, a small letter assume-unchanged
_COMPARED = (b"H ", b"M ", b"R ", b"C ", b"K ")
# Files in the git directory, and the operation that each is part of
_IN_PROGRESS = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
}


@dataclass(frozen=True)
class Status:
    """The differences between a work tree and its last commit; paths are relative to its root.

    Attributes:
        commit: Full hash of HEAD.
        branch: Name of the branch; None if HEAD is detached.
        changed: Tracked paths that differ, including staged ones.
        untracked: Paths that are neither tracked nor ignored; whole directories end in `/`.
        stuck: Paths of `changed` that cannot be committed here, and why.
        unseen: Submodules that contain untracked files.
    """

    commit: str
    branch: str | None
    changed: tuple[str, ...]
    untracked: tuple[str, ...]
    stuck: dict[str, str]
    unseen: tuple[str, ...]


class Repository:
    """A git work tree.

    Attributes:
        root: Top directory, without symbolic links in the path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def containing(cls, directory: Path) -> Repository:
        """Return the innermost work tree that contains a directory.

        Raises:
            GitError: The directory is not in a work tree.
            CommandNotFoundError: git is not installed.
        """
        try:
            root = run_git(directory, "rev-parse", "--show-toplevel")
        except GitError as error:
            if "not a git repository" not in str(error):  # for example owned by another user: git says what to do
                raise
            raise GitError(
                f"{directory} is not in a git repository, which mlxp_versioning needs: create one with 'git init', "
                "'git add' and 'git commit', or remove the callback."
            ) from error
        return cls(Path(path_in(root)))

    def git(self, *arguments: str, env: Mapping[str, str] | None = None, settings: Sequence[str] = ()) -> bytes:
        """Run git at the root and return what it printed; see run_git."""
        return run_git(self.root, *arguments, env=env, settings=settings)

    def git_path(self, name: str) -> Path:
        """Return the path of a file of git's own for this work tree, e.g. `index`."""
        return self.root / path_in(self.git("rev-parse", "--git-path", name))

    @cached_property
    def common_directory(self) -> Path:
        """The git directory; for a linked worktree, that of the main one."""
        return self.root / path_in(self.git("rev-parse", "--git-common-dir"))

    def status(self) -> Status:
        """Compare the work tree with the last commit.

        Raises:
            GitError: There is no commit yet, or a merge, rebase, cherry-pick or revert is in progress.
        """
        commit = branch = None
        changed, untracked, unseen = [], [], []
        stuck = {path: _HIDDEN for path in self._hidden_changes()}
        options = ("--no-renames", "--untracked-files=normal", "--ignore-submodules=none", "-z")
        for entry in names_in(self.git("status", "--porcelain=v2", "--branch", *options)):
            kind, _, rest = entry.partition(" ")
            if entry.startswith("# branch.oid "):
                commit = entry.split(" ", 2)[2]
            elif entry.startswith("# branch.head "):
                branch = entry.split(" ", 2)[2]
            elif kind == "1":  # XY, submodule state, 3 modes, 2 hashes, path: see git-status(1)
                states, submodule, *_, path = rest.split(" ", 7)
                if submodule[3] == "U":
                    unseen.append(path)
                    if submodule == "S..U" and states[0] == ".":
                        continue
                changed.append(path)
                if submodule[2] == "M":
                    stuck[path] = _SUBMODULE
            elif kind == "u":
                raise GitError(
                    f"{self.root} has unmerged files ({printable(rest.split(' ', 9)[9])}): finish the merge."
                )
            elif kind == "?":
                untracked.append(rest)
        if commit is None or commit == "(initial)":
            raise GitError(f"The repository {self.root} has no commit yet: create the first one (git commit).")
        for name, what in _IN_PROGRESS.items():
            if (self._git_directory / name).exists():
                raise GitError(f"In {self.root} {what} is in progress: finish or abort it, then launch again.")
        changed += [path for path in stuck if path not in changed]
        branch = None if branch == "(detached)" else branch
        return Status(commit, branch, tuple(changed), tuple(untracked), stuck, tuple(unseen))

    def _hidden_changes(self) -> list[str]:
        """Return files that differ from the index, in which git ignores changes (assume-unchanged, skip-worktree)."""
        entries = self.git("ls-files", "-v", "-z").split(b"\0")
        flagged = [os.fsdecode(entry[2:]) for entry in entries if entry and not entry.startswith(_COMPARED)]
        there = [path for path in flagged if (self.root / path).is_file()]
        if not there:
            return []
        index = names_in(self.git("ls-files", "--stage", "-z"))
        staged = {path: details.split(" ")[1] for details, _, path in (entry.partition("\t") for entry in index)}
        found = []
        for some in in_batches(there):
            hashes = self.git("hash-object", "--", *some).decode().split()
            found += [path for path, content in zip(some, hashes, strict=True) if content != staged[path]]
        return found

    @cached_property
    def _git_directory(self) -> Path:
        return self.root / path_in(self.git("rev-parse", "--git-dir"))

    def gitlinks(self, commit: str) -> list[tuple[str, str]]:
        """Return the paths of a commit's submodules, with the commit that is recorded for each."""
        entries = self.git("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")
        links = [entry.partition(b"\t") for entry in entries if entry.startswith(b"160000 ")]
        return [(os.fsdecode(name), details.split(b" ")[2].decode()) for details, _, name in links]

    def untracked_files(self, paths: Sequence[str]) -> list[str]:
        """Return the files behind untracked paths, as `git add` would add them; a nested repository ends in `/`."""
        return _below(paths, names_in(self.git("ls-files", "--others", "--exclude-standard", "-z")))

    def staged_files(self, paths: Sequence[str]) -> list[str]:
        """Return the files behind paths that are in the index and not in HEAD."""
        return _below(
            paths, names_in(self.git("diff", "--cached", "--name-only", "--no-renames", "--diff-filter=A", "-z"))
        )

    def tracked_files(self, pathspec: str) -> list[str]:
        """Return the tracked files that a pathspec matches."""
        return names_in(self.git("ls-files", "-z", "--", pathspec))

    def files_not_tracked(self, pathspecs: Sequence[str]) -> list[str]:
        """Return the files that pathspecs match and git does not track, including ignored ones."""
        return names_in(self.git("ls-files", "--others", "-z", "--", *pathspecs))

    def has(self, commit: str, path: str = "") -> bool:
        """Return whether the repository has a commit, and the commit has a path."""
        try:
            self.git("cat-file", "-e", f"{commit}:{path}")
        except GitError:
            return False
        return True


def _below(paths: Sequence[str], files: Sequence[str]) -> list[str]:
    """Return the files that are among some paths, or in a directory (`.../`) among them."""
    whole = set(paths)
    folders = tuple(path for path in paths if path.endswith("/"))
    return [file for file in files if file in whole or file.startswith(folders)]
