"""The safe copy contains exactly the files of its commit, and is complete or absent."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlxp_core.errors import SafeCopyError
from mlxp_core.versioning.changes import keep_changes
from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.safe_copy import copy_path, safe_copy
from tests.projects import Project

pytestmark = pytest.mark.once


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "a 'project'" / "tutorial").create()


def copied(project: Project, commit: str | None = None) -> Path:
    """Find or create the safe copy of a commit."""
    repository = Repository.containing(project.directory)
    commit = commit or project.head
    return safe_copy(repository, commit, copy_path(project.directory / ".workdir", repository, commit))


def git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def edit(path: Path, text: str) -> None:
    """Write a file of a copy, which is read-only."""
    path.chmod(0o644)
    path.write_bytes(text.encode())


def contents(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of all tracked files of a work tree."""
    found = {}
    for name in subprocess.check_output(["git", "-C", str(root), "ls-files", "-z"]).split(b"\0")[:-1]:
        path = root / os.fsdecode(name)
        if path.is_symlink():
            found[path.relative_to(root).as_posix()] = (0, os.fsencode(path.readlink()))
        elif path.is_file():
            found[path.relative_to(root).as_posix()] = (path.stat().st_mode & 0o111, path.read_bytes())
    return found


def test_files_of_all_kinds(project: Project) -> None:
    project.write("two words/new\nline é.txt", "1")
    (project.directory / os.fsdecode(b"bytes\xff")).write_text("2")
    project.write("run.sh", "#!/bin/sh\n").chmod(0o755)
    (project.directory / "link").symlink_to("main.py")
    (project.directory / "dangling").symlink_to("/nowhere")
    (project.directory / "folder").symlink_to("conf")
    project.git("config", "core.autocrlf", "input")
    project.write("../.gitattributes", "*.crlf text eol=crlf\n*.bin -text\n*.upper filter=upper\n")
    project.git("config", "filter.upper.smudge", "tr a-z A-Z")
    project.git("config", "filter.upper.clean", "tr A-Z a-z")
    (project.directory / "lines.crlf").write_bytes(b"a\r\nb\r\n")
    (project.directory / "raw.bin").write_bytes(b"a\r\nb\n\0")
    (project.directory / "shout.upper").write_bytes(b"HELLO")
    info = project.root / ".git" / "info" / "attributes"
    info.parent.mkdir(exist_ok=True)
    info.write_text("local.txt text eol=crlf\n")
    (project.directory / "local.txt").write_bytes(b"a\r\n")
    commit = project.commit()
    copy = copied(project)
    assert contents(copy) == contents(project.root)
    assert contents(copy)["tutorial/shout.upper"] == (0, b"HELLO")
    assert git(copy, "rev-parse", "HEAD") == commit
    assert git(copy, "status", "--porcelain") == ""
    assert git(copy, "log", "--format=%s") == "a commit\na commit"
    assert git(project.root, "status", "--porcelain") == ""
    assert git(project.root, "worktree", "list").count("\n") == 0


def test_the_history_is_not_copied(project: Project) -> None:
    for number in range(3):
        (project.directory / "big").write_bytes(os.urandom(2_000_000))
        project.commit()
        (project.directory / "big").write_text(str(number))
        project.commit()
    size = sum(file.stat().st_size for file in copied(project).rglob("*") if file.is_file())
    assert size < 200_000


def test_odd_place(tmp_path: Path) -> None:
    """The path of the objects directory is a line of a file."""
    for name in ('"quoted', "#comment", "new\nline", "back\\slash"):
        project = Project(tmp_path / name / "tutorial").create()
        assert contents(copied(project)) == contents(project.root)


@pytest.mark.parametrize("kind", ["detached", "shallow", "worktree", "inside another", "symbolic link"])
def test_repositories_of_all_kinds(project: Project, tmp_path: Path, kind: str) -> None:
    project.write("answer.py", "VALUE = 2\n")
    project.commit()
    other = project
    if kind == "detached":
        project.git("checkout", "-q", "--detach", "HEAD~1")
    elif kind == "shallow":
        git(tmp_path, "clone", "-q", "--depth=1", f"file://{project.root}", "clone")
        other = Project(tmp_path / "clone" / "tutorial")
    elif kind == "worktree":
        project.git("worktree", "add", "-q", str(tmp_path / "linked"))
        other = Project(tmp_path / "linked" / "tutorial")
    elif kind == "inside another":
        outer = Project(tmp_path / "tutorial").create()
        shutil.move(project.root, outer.directory / "inner")
        other = Project(outer.directory / "inner" / "tutorial")
    elif kind == "symbolic link":
        (tmp_path / "link").symlink_to(project.root)
        other = Project(tmp_path / "link" / "tutorial")
    copy = copied(other)
    assert contents(copy) == contents(other.root)
    assert git(copy, "rev-parse", "HEAD") == other.head
    assert git(copy, "status", "--porcelain") == ""
    assert git(copy, "log", "--format=%s").count("a commit") == (1 if kind in ("detached", "shallow") else 2)


def test_submodules_at_any_depth(project: Project, tmp_path: Path) -> None:
    """They have their recorded commits, without a download, even if the work tree has other commits."""
    inner = Project(tmp_path / "inner" / "deep").create()
    outer = Project(tmp_path / "outer" / "middle").create()
    allow = ("-c", "protocol.file.allow=always")
    outer.git(*allow, "submodule", "add", "-q", str(inner.root), "sub two")
    outer.commit()
    project.git(*allow, "submodule", "add", "-q", str(outer.root), "sub one")
    project.git(*allow, "submodule", "update", "-q", "--init", "--recursive")
    project.commit()
    shutil.rmtree(tmp_path / "inner")
    shutil.rmtree(tmp_path / "outer")
    first, second = project.root / "sub one", project.root / "sub one" / "sub two"
    recorded = [git(first, "rev-parse", "HEAD"), git(second, "rev-parse", "HEAD")]
    (second / "deep" / "answer.py").write_text("VALUE = 9\n")
    git(first, "-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "--allow-empty", "-m", "ahead")
    copy = copied(project)
    assert [git(copy / path, "rev-parse", "HEAD") for path in ("sub one", "sub one/sub two")] == recorded
    assert (copy / "sub one" / "sub two" / "deep" / "answer.py").read_text() == "VALUE = 1\n"
    assert git(copy, "status", "--porcelain") == ""
    assert copied(project) == copy
    edit(copy / "sub one" / "sub two" / "deep" / "answer.py", "VALUE = 8\n")
    assert copied(project) == copy.with_name(f"{copy.name}-2")


def test_submodule_that_is_removed_from_the_index(project: Project, tmp_path: Path) -> None:
    """The commit has the submodule, so the copy has it."""
    library = Project(tmp_path / "library" / "code").create()
    project.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.root), "library")
    project.commit()
    project.git("rm", "-q", "--cached", "library")
    assert (copied(project) / "library" / "code" / "main.py").exists()


def test_submodule_without_its_commit(project: Project, tmp_path: Path) -> None:
    library = Project(tmp_path / "library" / "code").create()
    project.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.root), "library")
    project.git("update-index", "--cacheinfo", f"160000,{'1' * 40},library")
    project.git("commit", "-q", "-m", "a pointer to nowhere")
    with pytest.raises(SafeCopyError, match=r"is recorded at commit 1111111111.*which is not on this machine"):
        copied(project)
    assert project.copies() == []


def test_a_work_tree_that_gets_completed(project: Project, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A copy that lacks a submodule or files outside a sparse checkout is not reused once the work tree has them."""
    library = Project(tmp_path / "library" / "code").create()
    project.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.root), "library")
    project.commit()
    project.git("submodule", "deinit", "-q", "library")
    first = copied(project)
    assert list((first / "library").iterdir()) == []
    assert "Warning: the submodule library is empty in the copy" in capsys.readouterr().out
    project.git("-c", "protocol.file.allow=always", "submodule", "update", "-q", "--init")
    second = copied(project)
    assert (second / "library" / "code" / "main.py").exists()
    project.git("sparse-checkout", "set", "--no-cone", "/tutorial/main.py", "/library")
    third = copied(project)
    assert (third / "library" / "code" / "main.py").exists()
    assert not (third / "tutorial" / "conf").exists()
    assert len({first, second, third, copied(project)}) == 3


def test_gitlink_without_gitmodules(project: Project) -> None:
    Project(project.root / "library" / "code").create()
    project.commit()
    copy = copied(project)
    assert (copy / "library" / "code" / "main.py").exists()


def test_files_that_differ_from_what_git_would_commit(project: Project) -> None:
    project.write("lines.txt", "")
    (project.directory / "lines.txt").write_bytes(b"a\r\nb\r\n")
    project.commit()
    project.write("../.gitattributes", "*.txt text\n")
    project.git("add", ".gitattributes")
    project.git("commit", "-q", "-m", "attributes")
    copy = copied(project)
    assert (copy / "tutorial" / "lines.txt").read_bytes() == b"a\r\nb\r\n"
    assert copied(project) == copy
    edit(copy / "tutorial" / "lines.txt", "a\r\nc\r\n")
    assert copied(project) != copy


def test_settings_that_hide_an_edit(project: Project) -> None:
    project.git("config", "core.ignoreStat", "true")
    project.git("config", "core.checkStat", "minimal")
    copy = copied(project)
    edit(copy / "tutorial" / "main.py", "# edited\n")
    assert copied(project) != copy


def test_incomplete_copies_of_other_processes_stay(project: Project) -> None:
    host = socket.gethostname()
    place = copied(project).parent
    for name, stays in (
        (f".new-99999999-abcd@{host}", False),
        (f".new-99999999-abcd@{host}2", True),
        (f".new-{os.getpid()}-abcd@{host}", True),
        (f".new-{host}", True),
    ):
        (place / name).mkdir()
        project.write("answer.py", f"VALUE = '{name}'\n")
        project.commit()
        copied(project)
        assert (place / name).exists() == stays


def test_partial_clone(project: Project, tmp_path: Path) -> None:
    """Missing contents are not fetched."""
    project.git("config", "uploadpack.allowFilter", "true")
    git(tmp_path, "clone", "-q", "--filter=blob:none", "--no-checkout", f"file://{project.root}", "clone")
    clone = Project(tmp_path / "clone" / "tutorial")
    clone.directory.mkdir()
    with pytest.raises(SafeCopyError, match=r"Cannot create the safe copy .*, nothing is left of it: "):
        copied(clone, git(tmp_path / "clone", "rev-parse", "HEAD"))
    assert clone.copies() == []


@pytest.fixture
def lfs(project: Project) -> Project:
    """A project with a Git LFS file that was never pushed."""
    if shutil.which("git-lfs") is None:
        if os.getuid() != 0 or shutil.which("apt-get") is None:
            pytest.skip("git-lfs is not installed")
        subprocess.run("apt-get -qq update && apt-get -qq install -y git-lfs", shell=True, check=True)
    subprocess.run(["git", "lfs", "install", "--skip-repo"], check=True, capture_output=True)
    project.git("lfs", "track", "*.bin")
    (project.directory / "weights.bin").write_bytes(b"weights" * 100)
    project.commit()
    assert project.git("show", "HEAD:tutorial/weights.bin").startswith("version https://git-lfs")
    return project


def test_lfs_files_have_their_content(lfs: Project) -> None:
    copy = copied(lfs)
    assert (copy / "tutorial" / "weights.bin").read_bytes() == b"weights" * 100
    assert git(copy, "status", "--porcelain") == ""
    assert copied(lfs) == copy
    (lfs.directory / "weights.bin").write_bytes(b"new" * 100)
    repository = Repository(lfs.root)
    kept = copied(lfs, keep_changes(repository, repository.status().commit))
    assert (kept / "tutorial" / "weights.bin").read_bytes() == b"new" * 100


def test_missing_lfs_files(lfs: Project) -> None:
    shutil.rmtree(lfs.root / ".git" / "lfs" / "objects")
    with pytest.raises(SafeCopyError, match=r"git lfs pull gets them\): tutorial/weights\.bin"):
        copied(lfs)
    assert lfs.copies() == []


def test_without_git_lfs(lfs: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The program is not installed, but the git settings for it exist."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("git", "sh"):
        (programs / name).symlink_to(str(shutil.which(name)))
    commit = lfs.head
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(SafeCopyError, match=r"because git-lfs is not installed: tutorial/weights\.bin"):
        copied(lfs, commit)


def test_made_once_and_found_again(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    copy = copied(project)
    made = copy.stat().st_mtime_ns
    (copy / "tutorial" / "__pycache__").mkdir()
    (copy / "tutorial" / "main.py").touch()
    assert copied(project) == copy
    assert capsys.readouterr().out == (
        f"Creating a copy of the repository at {copy}\n\nUsing the copy of the repository at {copy}\n\n"
    )
    assert copy.stat().st_mtime_ns == made


def add_file(copy: Path) -> None:
    (copy / "new.py").write_text("")
    git(copy, "add", "new.py")


def commit_nothing(copy: Path) -> None:
    git(copy, "-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "--allow-empty", "-m", "mine")


EDITS: dict[str, Callable[[Path], object]] = {
    "edited": lambda copy: edit(copy / "tutorial" / "main.py", "# edited\n"),
    "removed": lambda copy: (copy / "tutorial" / "main.py").unlink(),
    "staged": add_file,
    "committed": commit_nothing,
    "module added": lambda copy: (copy / "tutorial" / "answer.so").touch(),
    "emptied": lambda copy: shutil.rmtree(copy / ".git"),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edited_copy_is_not_used(project: Project, edit: str, capsys: pytest.CaptureFixture[str]) -> None:
    copy = copied(project)
    EDITS[edit](copy)
    second = copied(project)
    assert second == copy.with_name(f"{copy.name}-2")
    assert f"The copy {copy} cannot be reused (" in capsys.readouterr().out
    assert contents(second) == contents(project.root)
    assert copied(project) == second
    EDITS[edit](second)
    assert copied(project) == copy.with_name(f"{copy.name}-3")


PROGRAM = """
import sys
from pathlib import Path
from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.safe_copy import copy_path, safe_copy

root, commit = Path(sys.argv[1]), sys.argv[2]
repository = Repository(root)
print("ready", flush=True)
input()
print(safe_copy(repository, commit, copy_path(root / "tutorial" / ".workdir", repository, commit)))
"""


def start(project: Project) -> subprocess.Popen[str]:
    """Start a process that creates the safe copy when it reads a line."""
    command = [sys.executable, "-c", PROGRAM, str(project.root), project.head]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def test_launches_at_the_same_time(project: Project) -> None:
    for number in range(300):
        project.write(f"data/{number}.txt", "x" * 1000)
    project.commit()
    processes = [start(project) for _ in range(4)]
    for process in processes:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate()[0].splitlines()[-1] for process in processes]
    copy = project.copies()[0]
    assert answers == [str(copy)] * 4
    assert project.copies() == [copy]
    assert contents(copy) == contents(project.root)


def test_killed_while_copying(project: Project) -> None:
    """Killed at any moment, it leaves no copy or a complete one; the next launch removes incomplete ones."""
    for number in range(2000):
        project.write(f"data/{number}.txt", "x" * 1000)
    project.commit()
    place = project.directory / ".workdir" / project.root.name
    half_made = 0
    for delay in (0.0, 0.01, 0.03, 0.06, 0.1, 0.15):
        process = start(project)
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
        end = time.monotonic() + 120
        while not list(place.glob(".new-*/.git/*")) and time.monotonic() < end:
            time.sleep(0.001)
        time.sleep(delay)
        os.killpg(process.pid, signal.SIGKILL)  # including git, as at the end of a terminal or a job
        process.communicate()
        names = {path.name for path in project.copies()}
        half_made += project.head not in names
        assert all(name == project.head or name.startswith(".new-") for name in names)
        if project.head in names:
            assert git(place / project.head, "status", "--porcelain") == ""
            shutil.rmtree(place / project.head)
    assert half_made >= 2
    copy = copied(project)
    assert project.copies() == [copy]
    assert contents(copy) == contents(project.root)


def test_no_hook_of_the_user_runs(project: Project, tmp_path: Path) -> None:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch '{tmp_path}/ran'\n")
    (hooks / "post-checkout").chmod(0o755)
    subprocess.run(["git", "config", "--global", "core.hooksPath", str(hooks)], check=True)
    copied(project)
    assert not (tmp_path / "ran").exists()


def test_started_by_a_hook_of_another_repository(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """git sets variables for its hooks that select a repository."""
    monkeypatch.setenv("GIT_DIR", "/nowhere/.git")
    monkeypatch.setenv("GIT_INDEX_FILE", "/nowhere/index")
    repository = Repository.containing(project.directory)
    assert repository.root == project.root
    assert os.environ["GIT_DIR"] == "/nowhere/.git"
