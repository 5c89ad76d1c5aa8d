"""Files that the dialog stages: undone only while git's index and HEAD are what the dialog left."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest

from mlxp_core.versioning.changes import Staging
from mlxp_core.versioning.repository import Repository
from tests.projects import Project
from tests.support.disks import small_disk

pytestmark = pytest.mark.once


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """With an untracked file."""
    project = Project(tmp_path / "project" / "tutorial").create()
    project.write("notes.txt", "")
    return project


def staged(project: Project) -> Staging:
    """The state after the user answered `a`, and named all files."""
    repository = Repository.containing(project.directory)
    staging = Staging(repository)
    staging.add(repository.status().untracked)
    return staging


def test_undo(project: Project) -> None:
    before = project.state()
    staging = staged(project)
    assert project.git("diff", "--cached", "--name-only") == "tutorial/notes.txt"
    project.git("status")  # refreshes the index, and changes nothing in it
    project.write("more.txt", "")
    staging.add(["tutorial/more.txt"])
    assert staging.undo() == ""
    (project.directory / "more.txt").unlink()
    assert project.state() == before
    assert staging.undo() == ""


def test_what_was_committed_stays_committed(project: Project) -> None:
    staging = staged(project)
    project.commit()
    assert staging.undo() == ""
    assert project.git("status", "--porcelain") == ""


def test_committed_before_more_is_added(project: Project) -> None:
    staging = staged(project)
    project.commit()
    project.write("more.txt", "")
    after = project.state()
    staging.add(["tutorial/more.txt"])
    assert staging.undo() == ""
    assert project.state() == after


def test_others_staged_too(project: Project) -> None:
    """The index is left as it is, and the message says what stays in it."""
    staging = staged(project)
    project.write("answer.py", "VALUE = 2\n")
    project.git("add", "tutorial/answer.py")
    before = project.state()
    assert staging.undo() == (
        f"1 added file stays staged, because the index or HEAD of {project.root} was changed by another program: "
        "'git restore --staged <file>' unstages it."
    )
    assert project.state() == before


@pytest.mark.parametrize("all_of_it", [True, False])
def test_committed_while_the_index_is_locked(project: Project, all_of_it: bool) -> None:
    """The undo waits for a commit that is under way, and then leaves the index to it."""
    staging = staged(project)
    project.write("answer.py", "VALUE = 2\n")
    hook = project.root / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nsleep 2\n")
    hook.chmod(0o755)
    what = "--all" if all_of_it else "tutorial/notes.txt"
    commit = subprocess.Popen(["git", "-C", str(project.root), "commit", "-q", "-m", "by hand", what])
    lock = project.root / ".git" / "index.lock"
    while not lock.exists():
        time.sleep(0.01)
    assert staging.undo() == ""
    assert commit.wait() == 0
    assert project.git("status", "--porcelain") == ("" if all_of_it else "M tutorial/answer.py")
    assert project.git("show", "--name-only", "--format=").split("\n")[-1] == "tutorial/notes.txt"


def test_the_index_stays_locked(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlxp_core.versioning.changes._LOCK_TIMEOUT_S", 0.2)
    staging = staged(project)
    lock = project.root / ".git" / "index.lock"
    lock.touch()
    assert staging.undo() == (
        f"1 added file stays staged, because another git process is at work in {project.root} ({lock} exists): "
        "'git restore --staged <file>' unstages it."
    )
    assert lock.exists()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
def test_full_disk(project: Project, tmp_path: Path) -> None:
    """Nothing of ours is left that would stop git."""
    disk = tmp_path / "disk"
    with small_disk(disk, "1m"):
        other = Project(disk / "tutorial").create()
        other.write("notes.txt", "")
        staging = staged(other)
        with suppress(OSError), (disk / ".git" / "rest").open("wb", buffering=0) as file:
            while True:
                file.write(b"x" * 1000)
        assert staging.undo() == (
            f"1 added file stays staged, because {disk}/.git/index.lock cannot be written (No space left on device): "
            "'git restore --staged <file>' unstages it."
        )
        assert not (disk / ".git" / "index.lock").exists()
        assert other.git("--no-optional-locks", "status", "--porcelain") == "A  tutorial/notes.txt"


def test_split_index(project: Project) -> None:
    """An index that refers to a file of its own, which git may delete when it writes another index."""
    for name, value in (("core.splitIndex", "true"), ("splitIndex.sharedIndexExpire", "now")):
        project.git("config", name, value)
    project.git("config", "splitIndex.maxPercentChange", "0")
    project.write("answer.py", "VALUE = 2\n")
    project.git("add", "tutorial/answer.py")
    before = project.git("status", "--porcelain")
    assert staged(project).undo() == ""
    assert project.git("status", "--porcelain") == before
    staging = staged(project)
    project.write("main.py", "")
    project.git("add", "tutorial/main.py")
    project.git("restore", "--staged", "tutorial/main.py")
    assert staging.undo().startswith("1 added file stays staged, because the index or HEAD of ")
    assert "A  tutorial/notes.txt" in project.git("status", "--porcelain")
