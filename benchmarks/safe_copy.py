"""Compare the time for a safe copy with that of git commands: `python benchmarks/safe_copy.py`.

The repository has 20,000 files. A new copy is compared with `git worktree add` of the same commit. Finding an existing
copy, including the check of the work tree and of the copy, is compared with `git status`. Both are measured in turns.
"""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from itertools import count
from pathlib import Path
from statistics import median

from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.safe_copy import copy_path, safe_copy

FILES = 20_000


def git(directory: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(directory), *arguments], check=True, stdout=subprocess.DEVNULL)


def make_repository(root: Path) -> None:
    """Create 200 directories of 100 files of some kB, like source code."""
    for number in range(FILES):
        file = root / f"part{number // 1000}" / f"package{number // 100}" / f"module{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"x = {number}\n" * (number % 500))
    git(root, "init", "--quiet")
    git(root, "config", "user.name", "benchmark")
    git(root, "config", "user.email", "benchmark@example.org")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "files")
    time.sleep(1.1)  # files that are as young as the index are read again by every git status
    git(root, "status")


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    with redirect_stdout(StringIO()):
        action()
    return time.perf_counter() - start


def compare(name: str, ours: Callable[[], object], raw_name: str, raw: Callable[[], object], turns: int) -> None:
    """Print the medians in ms and their ratio. They take turns in going first: the second has warmer caches."""
    times = []
    for turn in range(turns):
        pair = [(0, ours), (1, raw)] if turn % 2 else [(1, raw), (0, ours)]
        measured = {which: seconds(action) for which, action in pair}
        times.append((measured[0], measured[1]))
    mine, theirs = (median(values) * 1000 for values in zip(*times, strict=True))
    print(f"{name:<46} {mine:>6.0f}   {raw_name:<18} {theirs:>6.0f}   {mine / theirs:.2f}", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root, copies = Path(folder, "repository"), Path(folder, "copies")
        make_repository(root)
        repository = Repository.containing(root)
        commit = repository.status().commit
        path = copy_path(copies, repository, commit)
        numbers = count()

        def new_copy() -> None:
            safe_copy(repository, commit, path.with_name(f"new{next(numbers)}"))

        def worktree() -> None:
            git(root, "worktree", "add", "--quiet", "--detach", str(copies / f"tree{next(numbers)}"))

        def status_and_find() -> None:
            repository.status()
            safe_copy(repository, commit, path)

        with redirect_stdout(StringIO()):
            safe_copy(repository, commit, path)  # warm the caches, and import what is needed
        print(f"{FILES} files{'':<35} {'ms':>6}   {'compared with':<18} {'ms':>6}   ratio")
        compare("new copy", new_copy, "git worktree add", worktree, 6)
        found = ("git status", lambda: git(root, "status"), 40)
        compare("find a copy and check it", lambda: safe_copy(repository, commit, path), *found)
        compare("status of the work tree, find a copy, check it", status_and_find, *found)


if __name__ == "__main__":
    main()
