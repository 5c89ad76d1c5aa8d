"""What git says of a work tree. Nothing here changes it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mlxp_core.errors import CommandNotFoundError, GitError

# Variables that name another repository than the one in which git is started (git rev-parse --local-env-vars; a git
# hook or alias that starts the application sets some), or give pathspecs another meaning
_LOCAL_VARIABLES = (
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_OBJECT_DIRECTORY", "GIT_DIR", "GIT_WORK_TREE"),
    *("GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS", "GIT_REPLACE_REF_BASE"),
    *("GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR"),
    *("GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
)
# Lines of an error of git's that are shown
_SHOWN_LINES = 5
_SUBMODULE = "it has changes of its own: commit them in the submodule"
_OVERLOOKED = "git was told to overlook it: git update-index --no-assume-unchanged --no-skip-worktree"
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
        return cls(Path(_path(root)))

    def git(self, *arguments: str, env: Mapping[str, str] | None = None, settings: Sequence[str] = ()) -> bytes:
        """Run git here and return what it printed.

        Raises:
            GitError: it failed; the message holds git's own.
        """
        return run_git(self.root, *arguments, env=env, settings=settings)

    def git_path(self, name: str) -> Path:
        """Where git keeps one of its own files for this work tree, e.g. `index`."""
        return self.root / _path(self.git("rev-parse", "--git-path", name))

    @cached_property
    def common_directory(self) -> Path:
        """Git's directory; of a linked worktree, that of the main one."""
        return self.root / _path(self.git("rev-parse", "--git-common-dir"))

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
        flagged = [
            entry[2:] for entry in names_in(self.git("ls-files", "-v", "-z")) if entry[0] == "S" or entry[0].islower()
        ]
        there = [path for path in flagged if (self.root / path).is_file()]
        if not there:
            return []
        staged = {}
        for entry in names_in(self.git("ls-files", "--stage", "-z")):
            details, _, path = entry.partition("\t")
            staged[path] = details.split(" ")[1]
        found = []
        for some in in_batches(there):
            hashes = self.git("hash-object", "--", *some).decode().split()
            found += [path for path, content in zip(some, hashes, strict=True) if content != staged[path]]
        return found

    @cached_property
    def _git_directory(self) -> Path:
        return self.root / _path(self.git("rev-parse", "--git-dir"))

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


def run_git(
    directory: Path, *arguments: str, env: Mapping[str, str] | None = None, settings: Sequence[str] = ()
) -> bytes:
    """Run git in a directory and return what it printed.

    Args:
        directory: where it is started.
        arguments: git's own command, and what follows.
        env: variables to add.
        settings: configuration for this call, `name=value`.

    Raises:
        GitError: it failed; the message holds git's own.
        CommandNotFoundError: it is not on this machine.
    """
    try:
        import git
    except ImportError:  # GitPython's own way to say so
        raise CommandNotFoundError(
            "mlxp_versioning needs the program git, which is not on this machine: install it."
        ) from None
    given = [word for setting in settings for word in ("-c", setting)]
    command = [git.Git.GIT_PYTHON_GIT_EXECUTABLE or "git", *given, *arguments]
    # No index is rewritten only to note what was looked up, so that nothing of the user's changes and no lock is met;
    # nobody is asked for a password, and nothing fetched (read by git 2.44 and later).
    quiet = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1"}
    with _no_other_repository():
        status, stdout, stderr = git.Git(str(directory)).execute(
            command,
            with_extended_output=True,
            with_exceptions=False,
            stdout_as_string=False,
            strip_newline_in_stdout=False,
            env={**quiet, **(env or {})},
        )
    if status != 0:
        texts = [text if isinstance(text, str) else os.fsdecode(text) for text in (stderr, stdout)]
        said = (texts[0].strip() or texts[1].strip()).splitlines()
        shown = [
            *said[:_SHOWN_LINES],
            *([f"... and {len(said) - _SHOWN_LINES} lines more"] * (len(said) > _SHOWN_LINES)),
        ]
        raise GitError(f"'git {arguments[0]}' failed in {directory}: " + ("\n".join(shown) or f"exit status {status}"))
    return stdout if isinstance(stdout, bytes) else stdout.encode()


@contextmanager
def _no_other_repository() -> Iterator[None]:
    """GitPython hands its own environment on to git, and takes values to add but none to leave out."""
    before = {name: os.environ.pop(name) for name in _LOCAL_VARIABLES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(before)


def names_in(answer: bytes) -> list[str]:
    """The names in an answer that was asked for with -z."""
    return [os.fsdecode(name) for name in answer.split(b"\0") if name]


def in_batches(paths: Sequence[str]) -> Iterator[Sequence[str]]:
    """Paths, as many at a time as one command line can hold."""
    for start in range(0, len(paths), 300):
        yield paths[start : start + 300]


def literally(path: str) -> str:
    """A pathspec that means this path and no pattern."""
    return f":(top,literal){path}"


def printable(name: str) -> str:
    """A name that a terminal and a yaml file can show: line breaks, control characters and stray bytes escaped."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def _path(answer: bytes) -> str:
    return os.fsdecode(answer.removesuffix(b"\n"))
