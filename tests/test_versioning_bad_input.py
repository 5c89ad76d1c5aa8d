"""Bad input: one clear sentence, exit status 1, nothing launched, and the repository as it was."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from pwd import getpwnam

import pytest

from mlxp_core.errors import RunDirectoryError
from mlxp_core.files import check_writable
from tests.programs import App, Result
from tests.projects import COPY, Project, option, virtual_environment
from tests.support.disks import small_disk

pytestmark = pytest.mark.once


def refused(project: Project, result: Result, message: str) -> None:
    """Check that the launch printed one sentence and did nothing."""
    assert result.status == 1, result.text
    assert message in " ".join(result.stderr.split()), result.stderr
    assert "Traceback" not in result.text
    assert "Internal error of hydra-mlxp" not in result.text
    assert len(result.stderr.splitlines()) <= 4, result.stderr
    assert project.runs() == []
    assert project.copies() == []
    assert not (project.directory / "logs").exists()


def merging(project: Project) -> str:
    project.git("checkout", "-q", "-b", "other")
    project.write("answer.py", "VALUE = 3\n")
    project.commit()
    project.git("checkout", "-q", "main")
    project.write("answer.py", "VALUE = 4\n")
    project.commit()
    assert project.call("git", "-C", str(project.root), "merge", "other").status == 1
    return "unmerged files (tutorial/answer.py): finish the merge"


def merged_and_not_committed(project: Project) -> str:
    merging(project)
    project.write("answer.py", "VALUE = 5\n")
    project.git("add", "-A")
    return "a merge is in progress: finish or abort it"


def rebasing(project: Project) -> str:
    merging(project)
    project.git("merge", "--abort")
    assert project.call("git", "-C", str(project.root), "rebase", "other").status == 1
    project.write("answer.py", "VALUE = 5\n")
    project.git("add", "-A")
    return "a rebase is in progress"


def hook_refuses(project: Project) -> str:
    hook = project.root / ".git" / "hooks" / "pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho 'no commits on Mondays' >&2\nexit 1\n")
    hook.chmod(0o755)
    project.write("answer.py", "VALUE = 2\n")
    project.write("new.py", "")
    return "'git commit' failed in {root}: no commits on Mondays"


def no_user_name(project: Project) -> str:
    project.git("config", "--unset", "user.name")
    project.git("config", "user.useConfigOnly", "true")
    project.write("answer.py", "VALUE = 2\n")
    return "git does not know the author of the commit: set git config --global user.name"


def parent_is_a_file(project: Project) -> str:
    (project.directory / ".workdir").write_text("")
    project.git("add", "-A")
    project.git("commit", "-q", "-m", "a file")
    return "/tutorial/.workdir is not a directory. Choose another directory."


def parent_holds_code(project: Project) -> str:
    project.write("my project/code.py", "")
    project.write("conf/config.yaml", "x: 1\nhydra: {callbacks: {mlxp_versioning: {parent_work_dir: .}}}\n")
    project.commit()
    return "which contains the files of a repository: set hydra.callbacks.mlxp_versioning.parent_work_dir"


def parent_is_the_parent(project: Project) -> str:
    """The directory of the safe copies would be the repository itself."""
    project.write("../.gitignore", "*.pyc\n")
    project.write("conf/config.yaml", "x: 1\nhydra: {callbacks: {mlxp_versioning: {parent_work_dir: ../..}}}\n")
    project.commit()
    return "Safe copies cannot be created in {root}, which contains the files of a repository"


def application_is_ignored(project: Project) -> str:
    project.git("rm", "-q", "--cached", "tutorial/main.py")
    project.write("../.gitignore", "main.py\n")
    project.commit()
    return "tutorial/main.py is not in the commit, so it would not be in the safe copy: add it to git"


def dirty_submodule(project: Project) -> str:
    library = Project(project.root.parent / "library" / "code", environment=project.environment).create()
    project.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.root), "library")
    project.commit()
    (project.root / "library" / "code" / "answer.py").write_text("VALUE = 9\n")
    return "library in {root} cannot be committed, because the submodule has uncommitted changes: commit them there."


def embedded_repository(project: Project) -> str:
    Project(project.root / "nested" / "code", environment=project.environment).create()
    project.write("../stuff/file.txt", "")
    shutil.move(project.root / "nested", project.root / "stuff" / "nested")
    return "stuff/nested/ in {root} is a git repository of its own, whose files cannot be added here"


def hidden_submodule_commit(project: Project) -> str:
    """A setting hides changes in the submodule's work tree."""
    dirty_submodule(project)
    project.git("config", "submodule.library.ignore", "all")
    return "cannot be committed, because the submodule has uncommitted changes"


def hidden_change(project: Project) -> str:
    project.git("update-index", "--skip-worktree", "tutorial/conf/config.yaml")
    project.write("conf/config.yaml", "x: 2\naction: null\n")
    return "tutorial/conf/config.yaml in {root} cannot be committed, because git ignores changes in it"


def one_file_cannot_be_added(project: Project) -> str:
    project.git("config", "core.autocrlf", "input")
    project.git("config", "core.safecrlf", "true")
    for number in range(400):
        project.write(f"a{number}.txt", "")
    (project.directory / "z.txt").write_bytes(b"a\r\n")
    project.write("answer.py", "VALUE = 2\n")
    return "'git add' failed in {root}: fatal: CRLF would be replaced by LF in tutorial/z.txt"


@pytest.mark.parametrize("option_", ["commit", "keep"])
@pytest.mark.parametrize(
    "prepare",
    [
        *(hidden_submodule_commit, hidden_change, one_file_cannot_be_added),
        *(merging, merged_and_not_committed, rebasing, no_user_name, parent_is_a_file, application_is_ignored),
        *(parent_holds_code, parent_is_the_parent, dirty_submodule, embedded_repository, hook_refuses),
    ],
)
def test_state_of_the_repository(project: Project, prepare: Callable[[Project], str], option_: str) -> None:
    if prepare is hook_refuses and option_ == "keep":
        pytest.skip("a commit for one launch only runs no hook")
    message = prepare(project).format(root=project.root)
    before = project.state()
    refused(project, project.run(*COPY, *option(uncommitted=option_, untracked="add")), message)
    assert project.state() == before


def test_a_change_outside_the_sparse_checkout(project: Project) -> None:
    """It would be in neither the commit for this launch nor the copy."""
    project.write("../other/table.txt", "1")
    project.commit()
    project.git("sparse-checkout", "set", "tutorial")
    project.write("../other/table.txt", "2")
    project.write("answer.py", "VALUE = 2\n")
    before = project.state()
    refused(
        project,
        project.run(*COPY, *option(uncommitted="keep")),
        f"git leaves changes in {project.root} out of the commit: other/table.txt. If they are outside the sparse",
    )
    assert project.state() == before
    project.git("sparse-checkout", "add", "other")
    project.launch(*option(uncommitted="keep"))
    assert (project.copies()[0] / "other" / "table.txt").read_text() == "2"


def test_no_repository(app: App) -> None:
    project = Project(app.directory, environment=app.environment)
    refused(
        project,
        project.run(*COPY),
        "/app is not in a git repository, which mlxp_versioning needs: create one with 'git init'",
    )


def test_no_commit(project: Project) -> None:
    shutil.rmtree(project.root / ".git")
    project.git("init", "-q")
    refused(project, project.run(*COPY), f"The repository {project.root} has no commit yet: create the first one")


def test_no_git(project: Project) -> None:
    result = project.run(*COPY, env={"PATH": "/nowhere"})
    refused(project, result, "needs the program git, which is not on this machine: install it.")


def test_untracked_application(project: Project) -> None:
    project.git("rm", "-q", "--cached", "tutorial/main.py")
    project.git("commit", "-q", "-m", "gone")
    message = "main.py is not in the commit, so it would not be in the safe copy"
    refused(project, project.run(*COPY, *option(untracked="ignore")), message)
    project.launch(*option(untracked="add", uncommitted="keep"))


def test_untracked_start_script(project: Project) -> None:
    project.write("conf/__init__.py", "")
    project.commit()
    project.write("go.py", "from main import main; main()")
    result = project.run(*COPY, *option(untracked="ignore"), program=("go.py",))
    refused(project, result, "tutorial/go.py is not in the commit, so it would not be in the safe copy")


def test_untracked_configuration(project: Project) -> None:
    project.write("more/y.yaml", "")
    result = project.run("--config-dir", "more", *COPY, *option(untracked="ignore"))
    assert result.status == 1
    assert "tutorial/more is not in the commit, so it is not in the safe copy: add it to git, or set" in result.stderr
    project.write("answer.py", "VALUE = 2\n")
    result = project.run("--config-dir", "more", *COPY, *option(untracked="ignore", uncommitted="commit"))
    assert "run_from=repository. The changes are already committed: [main " in result.stderr
    assert project.runs() == []


def test_no_user_name_is_needed_if_nothing_is_committed(project: Project) -> None:
    no_user_name(project)
    project.git("checkout", "-q", "--", ".")
    project.launch(*option(uncommitted="commit", untracked="add"))


def test_the_program_would_still_run_from_the_repository(project: Project) -> None:
    """Started through a link to its absolute path, and as a module of a package that is the repository itself."""
    (project.directory / "link.py").symlink_to(project.directory / "main.py")
    project.write("../__init__.py", "")
    project.commit()
    (project.root.parent / "package").symlink_to(project.root)
    outside = Project(project.root.parent, environment=project.environment)
    for result in (
        project.run(*COPY, program=("link.py",)),
        outside.run(*COPY, program=("-m", "package.tutorial.main"), env={"PYTHONPATH": str(project.directory)}),
    ):
        assert result.status == 1
        assert "main.py would run from the repository, not from its safe copy: start it from inside" in result.text
    assert project.runs() == outside.runs() == []


def test_values(project: Project) -> None:
    for name, choices in (
        ("untracked", "ask, add, ignore or refuse"),
        ("uncommitted", "ask, commit, keep, ignore or refuse"),
        ("run_from", "ask, copy or repository"),
    ):
        result = project.run(*COPY, *option(**{name: "no"}))
        refused(project, result, f"hydra.callbacks.mlxp_versioning.{name} must be {choices}, got no.")


def test_links(project: Project) -> None:
    project.write("conf/more/y.yaml", "")
    project.commit()
    for link, message in (
        ("nowhere", "tutorial/nowhere, which does not exist: create it or omit it."),
        ("/etc/hosts", "/etc/hosts, which is not in the repository"),
        ("main.py", "tutorial/main.py, which git tracks, so the safe copy has it"),
    ):
        refused(project, project.run(*COPY, *option(links=f"[{link}]")), message)


def test_installed_application(project: Project) -> None:
    """A program that is not in a repository, although it is started in one."""
    project.python = virtual_environment(project.root.parent / "venv", project.python)
    (site_packages,) = (project.root.parent / "venv").glob("lib/python*/site-packages")
    shutil.copy(project.directory / "main.py", site_packages / "installed.py")
    shutil.copytree(project.directory / "conf", site_packages / "conf")
    result = project.run(*COPY, program=("-m", "installed"))
    refused(project, result, "cannot find the source code of this application: ")
    assert "installed.py is installed. Start it from a file in a git repository, or install it with" in result.stderr


def test_python_that_reads_no_variables(project: Project) -> None:
    (project.root / "src").mkdir()
    project.write("../src/library.py", "")
    text = (project.directory / "main.py").read_text()
    project.write("main.py", f"import sys; sys.path.append({str(project.root / 'src')!r})\n{text}")
    project.commit()
    result = project.run(*COPY, program=("-E", "main.py"))
    assert result.status == 1
    assert "python -E and -I ignore PYTHONPATH, which the safe copy needs: start Python without them." in result.stderr
    assert project.runs() == []


@pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk")
@pytest.mark.parametrize(
    ("size", "message"),
    [("64k", "the disk is full. Free some space"), ("4m", "nothing is left of it: the disk is full")],
)
def test_full_disk(project: Project, tmp_path: Path, size: str, message: str) -> None:
    """A disk that is full before the copy is created, and one that becomes full while it is created."""
    for number in range(80):
        project.write(f"data/{number}.txt", f"{number}" * 50_000)
    project.commit()
    project.write("answer.py", "VALUE = 2\n")
    before = project.state()
    disk = tmp_path / "disk"
    with small_disk(disk, size):
        result = project.run(*COPY, *option(parent_work_dir=disk, uncommitted="keep"))
        refused(project, result, message)
        assert list(disk.glob("*/*")) == list(disk.glob("*/.gitignore"))
    assert project.state() == before


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start programs as another user")
def test_unreadable_parent(project: Project, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o300)
    closed.chmod(0o300)
    subprocess.run(["chown", "nobody", str(closed)], check=True)
    os.setreuid(getpwnam("nobody").pw_uid, 0)  # os.access checks the real user, open() the effective one
    try:
        with pytest.raises(RunDirectoryError, match=r"may not be read and written by this user. Choose another"):
            check_writable(closed / "copies")
    finally:
        os.setreuid(0, 0)
