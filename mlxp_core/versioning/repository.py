"""What git says of a work tree. Nothing here changes it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlxp_core.errors import GitError
from mlxp_core.versioning.git_command import in_batches, names_in, path_in, printable, run_git

_SUBMODULE = "it has changes of its own: commit them in the submodule"
_OVERLOOKED = (
    "git was told to overlook it: undo that with 'git update-index --no-assume-unchanged --no-skip-worktree -- <file>'"
)
# What ls-files -v says of files that git looks at: S is skip-worktree, a small letter assume-unchanged
_SEEN = (b"H ", b"M ", b"R ", b"C ", b"K ")
# Files in git's directory that say what is under way
_UNDER_WAY = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
}


@dataclass(frozen=True)
class Status:
    """What differs in a work tree from its last commit; paths are relative to its root.

    Attributes:
        commit: full hash of HEAD.
        branch: None when HEAD is detached.
        changed: tracked paths that differ, staged ones included.
        untracked: paths that git does not know and was not told to ignore; whole directories end in `/`.
        stuck: those of `changed` that no commit here can hold, and why.
        unseen: submodules with untracked files in them.
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
        root: its top directory, with no symbolic link in the path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @classmethod
    def containing(cls, directory: Path) -> Repository:
        """The innermost work tree that a directory is in.

        Raises:
            GitError: it is in none.
            CommandNotFoundError: git is not on this machine.
        """
        try:
            root = run_git(directory, "rev-parse", "--show-toplevel")
        except GitError as error:
            if "not a git repository" not in str(error):  # owned by another user, say: git tells what to do
                raise
            raise GitError(
                f"{directory} is in no git repository, which mlxp_versioning needs: make one with 'git init', 'git "
                "add' and 'git commit', or leave the callback out."
            ) from error
        return cls(Path(path_in(root)))

    def git(self, *arguments: str, env: Mapping[str, str] | None = None, settings: Sequence[str] = ()) -> bytes:
        """Run git here and return what it printed.

        Raises:
            GitError: it failed; the message holds git's own.
        """
        return run_git(self.root, *arguments, env=env, settings=settings)

    def git_path(self, name: str) -> Path:
        """Where git keeps one of its own files for this work tree, e.g. `index`."""
        return self.root / path_in(self.git("rev-parse", "--git-path", name))

    @cached_property
    def common_directory(self) -> Path:
        """Git's directory; of a linked worktree, that of the main one."""
        return self.root / path_in(self.git("rev-parse", "--git-common-dir"))

    def status(self) -> Status:
        """What differs from the last commit.

        Raises:
            GitError: there is no commit yet, or a merge is under way.
        """
        commit = branch = None
        changed, untracked, unseen = [], [], []
        stuck = {path: _OVERLOOKED for path in self._overlooked()}
        options = ("--no-renames", "--untracked-files=normal", "--ignore-submodules=none", "-z")
        for entry in names_in(self.git("status", "--porcelain=v2", "--branch", *options)):
            kind, _, rest = entry.partition(" ")
            if entry.startswith("# branch.oid "):
                commit = entry.split(" ", 2)[2]
            elif entry.startswith("# branch.head "):
                branch = entry.split(" ", 2)[2]
            elif kind == "1":  # XY, submodule state, 3 modes, 2 hashes, path: see git-status(1)
                states, submodule, *_, path = rest.split(" ", 7)
                if submodule == "S..U" and states[0] == ".":
                    unseen.append(path)
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
            raise GitError(f"The repository {self.root} has no commit yet: make the first one (git commit).")
        for name, what in _UNDER_WAY.items():
            if (self._git_directory / name).exists():
                raise GitError(f"In {self.root} {what} is under way: finish or abort it, then launch again.")
        changed += [path for path in stuck if path not in changed]
        branch = None if branch == "(detached)" else branch
        return Status(commit, branch, tuple(changed), tuple(untracked), stuck, tuple(unseen))

    def _overlooked(self) -> list[str]:
        """Files that differ from the index although git was told not to look (assume-unchanged, skip-worktree)."""
        entries = self.git("ls-files", "-v", "-z").split(b"\0")
        flagged = [os.fsdecode(entry[2:]) for entry in entries if entry and not entry.startswith(_SEEN)]
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
        """The paths at which a commit has submodules, and the commits that are recorded for them."""
        entries = self.git("ls-tree", "-r", "-z", "--full-tree", commit).split(b"\0")
        links = [entry.partition(b"\t") for entry in entries if entry.startswith(b"160000 ")]
        return [(os.fsdecode(name), details.split(b" ")[2].decode()) for details, _, name in links]

    def untracked_files(self, paths: Sequence[str]) -> list[str]:
        """The single files behind untracked paths, as `git add` would add them; a repository in one ends in `/`."""
        whole = set(paths)
        folders = tuple(path for path in paths if path.endswith("/"))
        found = names_in(self.git("ls-files", "--others", "--exclude-standard", "-z"))
        return [path for path in found if path in whole or path.startswith(folders)]

    def tracked_files(self, pathspec: str) -> list[str]:
        """The tracked files that a pathspec chooses."""
        return names_in(self.git("ls-files", "-z", "--", pathspec))

    def holds(self, commit: str, path: str = "") -> bool:
        """Whether a commit is here, and has this path in it."""
        try:
            self.git("cat-file", "-e", f"{commit}:{path}")
        except GitError:
            return False
        return True
