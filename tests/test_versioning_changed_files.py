"""What a run's record says if its code is not what the launch recorded, and which safe copies are used again."""

from __future__ import annotations

import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.safe_copy import copy_path, safe_copy
from mlxp_core.versioning.snapshot import take_snapshot
from mlxp_core.versioning.source_check import Snapshot, changed_files
from tests.programs import info
from tests.projects import BOTH, COPY, MAIN, Project, option
from tests.support.cli import mlxp

pytestmark = pytest.mark.once

# An application that changes its own code after the first run
_EDITS = """
    module = Path(__file__).with_name("answer.py")
    module.chmod(0o644)
    module.write_text("VALUE = 5\\n")
"""
_ADDS = """
    module = Path(__file__).parent / "answer" / "__init__.py"
    module.parent.mkdir(exist_ok=True)
    module.write_text("VALUE = 5\\n")
"""


def acting(project: Project, action: str) -> None:
    project.write("main.py", MAIN.replace('    return config.get("x")', f'{action}\n    return config.get("x")'))
    project.commit()


@pytest.mark.parametrize(
    ("action", "changed", "reason"),
    [
        (_EDITS, "tutorial/answer.py", "edited: tutorial/answer.py"),
        (
            _ADDS,
            "tutorial/answer/__init__.py",
            "files were added that are not in the commit: tutorial/answer/__init__.py",
        ),
    ],
    ids=["edited", "added"],
)
def test_a_run_that_changes_the_copy(project: Project, action: str, changed: str, reason: str) -> None:
    """The next run records it, and the next launch and rerun use a new copy."""
    acting(project, action)
    project.launch("-m", "x=1,2", "hydra/launcher=local", "hydra.launcher.n_jobs=1")
    first, second = project.records()
    assert "changed_at_start" not in first["version_manager"]
    assert second["version_manager"]["changed_at_start"] == [changed]
    assert f"were changed or added since the launch recorded commit {project.head}: {changed}." in (
        (project.directory / "logs/2/log.stdout").read_text()
    )
    assert f"but changed or added when the run started: {changed}" in mlxp(project, "show", "2").stdout
    (copy,) = project.copies()
    result = project.launch()
    other = copy.with_name(f"{copy.name}-2")
    assert f"The copy {copy} cannot be reused ({reason}); it is kept.\n" in result.stdout
    assert f"Creating a copy of the repository at {other}\n" in result.stdout
    version = info(project.directory / "logs/3")["version_manager"]
    assert (version["safe_copy"], "changed_at_start" in version) == (str(other), False)
    result = mlxp(project, "rerun", "2")
    assert result.status == 0, result.text
    version = info(project.directory / "logs/4")["version_manager"]
    assert (version["safe_copy"], "changed_at_start" in version) == (f"{copy}-3", False)


def test_several_runs_in_one_process(project: Project) -> None:
    """Hydra's basic launcher runs them one after the other."""
    acting(project, _EDITS)
    project.launch("-m", "x=1,2,3")
    found = [record["version_manager"].get("changed_at_start") for record in project.records()]
    assert found == [None, ["tutorial/answer.py"], ["tutorial/answer.py"]]


def test_edits_after_a_launch_from_the_repository(project: Project) -> None:
    """The record says at each start which files differ from the launch; a file that is as it was is not named."""
    project.write("answer.py", "VALUE = 2\n")  # uncommitted, and recorded as ignored
    project.write("helper.py", "")  # untracked at the launch
    options = option(run_from="repository", uncommitted="ignore", untracked="ignore")
    launcher = ("hydra/launcher=local", "hydra.launcher.dry_run=true")
    result = project.run("-m", "x=1", BOTH, *options, *launcher)
    assert result.status == 0, result.text

    def started() -> object:
        assert project.call("bash", str(project.directory / "logs/1/script.sh")).status == 0
        return info(project.directory / "logs/1")["version_manager"].get("changed_at_start")

    assert started() is None
    project.write("answer.py", "VALUE = 3\n")
    project.write("more.py", "")
    (project.directory / "conf/config.yaml").touch()
    assert started() == ["tutorial/answer.py", "tutorial/more.py"]
    (project.directory / "more.py").unlink()
    project.write("answer.py", "VALUE = 2\n")
    assert started() is None


@pytest.fixture
def tree(tmp_path: Path) -> Project:
    project = Project(tmp_path / "project" / "tutorial").create()
    project.write("conf/model/small.yaml", "")
    project.write("library/data/table.txt", "1")
    project.write("library/__init__.py", "")
    (project.directory / "link.py").symlink_to("answer.py")
    project.commit()
    return project


def test_what_counts_as_a_change(tree: Project) -> None:
    root = tree.root
    snapshot = root / ".git" / "snapshot"
    tree.write("untracked/__init__.py", "")
    tree.write("local.py", "")
    snapshot.write_text(take_snapshot(Repository(root), tree.head).text())

    def changed() -> list[str]:
        return changed_files(root, Snapshot.read(snapshot))

    for name in ("library/__pycache__/x.pyc", "results/x/y.py", "results.json", "conf/results/one.txt"):
        tree.write(name, "")
    (tree.directory / "main.py").touch()
    (tree.directory / "data").symlink_to(tree.directory / "library")
    assert changed() == []
    tree.write("library/data/table.txt", "2")
    tree.write("library/fast.so", "")
    tree.write("answer/__init__.py", "")
    tree.write("conf/local/default.yaml", "")
    tree.write("local.py", "x = 1")
    (tree.directory / "conf/model/small.yaml").unlink()
    (tree.directory / "link.py").unlink()
    (tree.directory / "link.py").symlink_to("main.py")
    assert changed() == [
        "tutorial/answer/__init__.py",
        "tutorial/conf/local/default.yaml",
        "tutorial/conf/model/small.yaml",
        "tutorial/library/data/table.txt",
        "tutorial/library/fast.so",
        "tutorial/link.py",
        "tutorial/local.py",
    ]
    shutil.rmtree(tree.directory / "library")
    assert "tutorial/library/__init__.py" in changed()


def test_changes_in_a_submodule(tree: Project, tmp_path: Path) -> None:
    library = Project(tmp_path / "library" / "code").create()
    tree.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.root), "sub")
    commit = tree.commit()
    repository = Repository(tree.root)
    copy = safe_copy(repository, commit, copy_path(tree.directory / ".workdir", repository, commit))
    snapshot = Snapshot.read(copy / ".git" / "mlxp-snapshot")
    assert changed_files(copy, snapshot) == []
    (copy / "sub" / "code" / "answer.py").chmod(0o644)
    (copy / "sub" / "code" / "answer.py").write_text("VALUE = 8\n")
    (copy / "sub" / "code" / "main").mkdir()
    (copy / "sub" / "code" / "main" / "__init__.py").touch()
    assert changed_files(copy, snapshot) == ["sub/code/answer.py", "sub/code/main/__init__.py"]


def test_a_check_of_a_thousand_files_takes_milliseconds(tree: Project) -> None:
    for number in range(1_000):
        tree.write(f"package{number % 40}/module{number}.py", f"{number}")
    commit = tree.commit()
    repository = Repository(tree.root)
    copy = safe_copy(repository, commit, copy_path(tree.directory / ".workdir", repository, commit))
    times = []
    for _ in range(20):
        start = time.perf_counter()
        assert changed_files(copy, Snapshot.read(copy / ".git" / "mlxp-snapshot")) == []
        times.append(time.perf_counter() - start)
    assert min(times) < 0.05  # 5 ms on an idle machine


def test_who_can_read_and_change_a_copy(tree: Project) -> None:
    tree.write("run.sh", "").chmod(0o755)
    tree.write(".env", "TOKEN=1").chmod(0o600)
    commit = tree.commit()
    repository = Repository(tree.root)
    copy = safe_copy(repository, commit, copy_path(tree.directory / ".workdir", repository, commit))

    def mode(path: Path) -> int:
        return stat.S_IMODE(path.stat().st_mode)

    assert mode(copy) == mode(copy.parent) == 0o700
    for name in ("main.py", "conf/config.yaml", "library/data/table.txt"):
        assert mode(copy / "tutorial" / name) == 0o444
    assert (mode(copy / "tutorial/run.sh"), mode(copy / "tutorial/.env")) == (0o555, 0o400)
    if os.getuid() != 0:
        with pytest.raises(PermissionError):
            (copy / "tutorial/main.py").write_text("")
    (copy / "tutorial" / "results.txt").write_text("")  # beside the code


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give directories to other users")
def test_a_directory_that_others_can_change(project: Project, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    place = shared / project.root.name
    place.mkdir(parents=True)
    shared.chmod(0o1777)
    for directory, owner, mode, problem in (
        (place, 65534, 0o755, "belongs to another user"),
        (place, 0, 0o775, "can be written by other users (chmod go-w changes that)"),
        (shared, 0, 0o777, "can be written by other users (chmod o-w changes that)"),
        (shared, 65534, 0o755, "belongs to another user"),
    ):
        place.chmod(0o700)
        shared.chmod(0o1777)
        os.chown(place, 0, 0)
        os.chown(directory, owner, -1)
        directory.chmod(mode)
        result = project.run(*COPY, *option(parent_work_dir=shared))
        assert result.status == 1
        assert (
            f"Safe copies cannot be created in {place}: {directory} {problem}, so others could replace" in result.stderr
        )
    os.chown(shared, 0, 0)
    shared.chmod(0o1777)
    project.launch(*option(parent_work_dir=shared))
