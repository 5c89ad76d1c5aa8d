"""mlxp_versioning runs the code of one commit, with every launcher."""

from __future__ import annotations

import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from tests.programs import info
from tests.projects import BOTH, COPY, Project, option

pytestmark = pytest.mark.hydra

LAUNCHERS: dict[str, list[str]] = {
    "plain": [],
    "basic": ["-m", "x=1,2"],
    "local": ["-m", "x=1,2", "hydra/launcher=local"],
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_runs_from_the_copy(project: Project, launcher: str) -> None:
    result = project.launch(*LAUNCHERS[launcher])
    commit = project.head
    copy = project.directory / ".workdir" / "my project" / commit
    assert project.copies() == [copy]
    assert f"Creating a copy of the repository at {copy}\n" in result.stdout
    for seen, run in zip(project.seen(), project.runs(), strict=True):
        assert run.parent == project.directory / "logs"
        assert seen["cwd"] == str(copy / "tutorial")
        assert seen["main"][0] == str(copy / "tutorial" / "main.py")
        assert seen["answer"] == [1, str(copy / "tutorial" / "answer.py")]
        record = info(run)
        assert (record["status"], record["work_dir"]) == ("COMPLETE", str(copy / "tutorial"))
        assert record["version_manager"] == {
            "commit_hash": commit,
            "repo_path": str(project.root),
            "branch": "main",
            "uncommitted": "none",
            "untracked": [],
            "requirements": [],
            "safe_copy": str(copy),
        }
    assert len(project.runs()) == (1 if launcher == "plain" else 2)
    assert project.call("git", "-C", str(copy), "rev-parse", "HEAD").stdout.strip() == commit
    assert project.git("status", "--porcelain") == ""
    again = project.launch(*LAUNCHERS[launcher])
    assert "Creating" not in again.stdout
    assert project.copies() == [copy]


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_without_numbered_runs(project: Project, launcher: str) -> None:
    """Hydra's own run directories are in their usual places, and have a record."""
    result = project.run(*LAUNCHERS[launcher], "hydra/callbacks=mlxp_versioning", *option(run_from="copy"))
    assert result.status == 0, result.text
    for run, record in zip(project.runs(), project.records(), strict=True):
        assert run.is_relative_to(project.directory / ("outputs" if launcher == "plain" else "multirun"))
        assert (record["status"], record["version_manager"]["commit_hash"]) == ("COMPLETE", project.head)
    assert len(project.runs()) == (1 if launcher == "plain" else 2)


def test_order_of_the_callbacks(project: Project) -> None:
    """Each run gets one number, and no number is lost."""
    for callbacks in ("[mlxp_versioning,mlxp_logging]", "[mlxp_logging,mlxp_versioning]"):
        project.run(f"hydra/callbacks={callbacks}", *option(run_from="copy"))
        project.run("-m", "x=1,2", f"hydra/callbacks={callbacks}", *option(run_from="copy"))
    assert sorted(run.name for run in project.runs()) == ["1", "2", "3", "4", "5", "6"]
    assert len(list((project.directory / "logs").glob("[0-9]*"))) == 6


def test_from_the_repository(project: Project) -> None:
    project.write("answer.py", "VALUE = 2\n")
    project.write("notes.txt", "")
    result = project.run(BOTH, *option(run_from="repository", uncommitted="ignore", untracked="ignore"))
    assert result.status == 0, result.text
    (record,) = project.records()
    assert record["work_dir"] == str(project.directory)
    version = record["version_manager"]
    assert version.pop("snapshot").startswith(f"{project.root}/.git/mlxp-snapshots/")
    assert version == {
        "commit_hash": project.head,
        "repo_path": str(project.root),
        "branch": "main",
        "uncommitted": "ignored",
        "untracked": ["tutorial/notes.txt"],
        "requirements": [],
        "safe_copy": None,
    }
    assert project.seen()[0]["answer"] == [2, str(project.directory / "answer.py")]
    assert project.copies() == []


@pytest.mark.once
def test_added_and_ignored(project: Project) -> None:
    """A file that was added and then ignored is in no commit, and the record lists it as untracked."""
    project.write("helper.py", "")
    project.launch(*option(untracked="add", uncommitted="ignore"))
    version = project.records()[0]["version_manager"]
    assert (version["uncommitted"], version["untracked"]) == ("ignored", ["tutorial/helper.py"])


def test_under_another_name(project: Project) -> None:
    callbacks = {
        "numbers": "{_target_: mlxp_core.callbacks.LoggingCallback}",
        "code": "{_target_: mlxp_core.callbacks.VersioningCallback, run_from: copy}",
    }
    nodes = ", ".join(f"{name}: {node}" for name, node in callbacks.items())
    project.write("conf/config.yaml", f"x: 1\naction: null\nhydra: {{callbacks: {{{nodes}}}}}\n")
    project.commit()
    result = project.run("-m", "x=1,2", "hydra/launcher=local")
    assert result.status == 0, result.text
    assert [run.parent for run in project.runs()] == [project.directory / "logs"] * 2
    assert project.records()[0]["version_manager"]["commit_hash"] == project.head


@pytest.mark.once
def test_started_by_git(project: Project) -> None:
    """git sets variables for programs that an alias or a hook starts; git inside the run still uses the copy."""
    text = (project.directory / "main.py").read_text()
    probe = "subprocess.run(['git', 'rev-parse', 'HEAD'], capture_output=True, text=True).stdout.strip()"
    project.write("main.py", text.replace("    seen = {", f"    import subprocess\n    seen = {{'head': {probe},"))
    project.launch(*option(uncommitted="keep"), env={"GIT_DIR": str(project.root / ".git")})
    assert project.seen()[0]["head"] == project.records()[0]["version_manager"]["commit_hash"] != project.head


@pytest.mark.once
def test_commit(project: Project) -> None:
    before = project.head
    project.write("answer.py", "VALUE = 2\n")
    project.write("other.py", "")
    result = project.launch(*option(uncommitted="commit", untracked="add"))
    assert project.head != before
    assert project.git("log", "-1", "--format=%s %P") == f"MLXP: Automatically committing all changes {before}"
    assert project.git("show", "--name-only", "--format=") == "tutorial/answer.py\ntutorial/other.py"
    assert "[main " in result.stdout
    assert "2 files changed" in result.stdout
    assert "No more uncommitted changes!" in result.stdout
    version = project.records()[0]["version_manager"]
    assert (version["commit_hash"], version["uncommitted"], version["untracked"]) == (project.head, "committed", [])
    assert project.seen()[0]["answer"][0] == 2
    assert project.git("status", "--porcelain") == ""


def test_keep(project: Project) -> None:
    """Changed, staged, deleted and new files are in the commit that runs, and the repository does not change."""
    project.write("gone.py", "")
    project.write("half.py", "old\n")
    project.commit()
    project.write("answer.py", "VALUE = 2\n")
    project.write("new.py", "")
    (project.directory / "gone.py").unlink()
    project.write("half.py", "staged\n")
    project.git("add", "tutorial/half.py")
    project.write("half.py", "staged and changed\n")
    before = project.state()
    for _ in range(2):
        project.launch(*option(uncommitted="keep", untracked="add"))
        after = project.state()
        assert (before.head, before.status, before.index) == (after.head, after.status, after.index)
    version = project.records()[0]["version_manager"]
    kept = version["commit_hash"]
    assert (version["uncommitted"], version["branch"]) == ("kept", "main")
    assert kept != project.head
    assert project.copies() == [project.directory / ".workdir" / "my project" / kept], "the same changes, one copy"
    assert sorted(path.name for path in (project.copies()[0] / "tutorial").glob("*.py")) == [
        *("answer.py", "half.py", "main.py", "new.py"),
    ]
    assert (project.copies()[0] / "tutorial" / "half.py").read_text() == "staged and changed\n"
    assert project.seen()[0]["answer"][0] == 2
    assert project.git("rev-parse", f"refs/mlxp/{kept}") == kept
    project.git("gc", "-q", "--prune=now")
    assert project.git("cat-file", "-t", kept) == "commit"
    assert project.git("log", "--format=%s", "main") == "a commit\na commit"


@pytest.mark.once
def test_ignore(project: Project) -> None:
    project.write("answer.py", "VALUE = 2\n")
    project.write("data/big.bin", "")
    before = project.state()
    project.launch(*option(uncommitted="ignore", untracked="ignore"))
    assert project.seen()[0]["answer"][0] == 1
    version = project.records()[0]["version_manager"]
    assert (version["uncommitted"], version["untracked"]) == ("ignored", ["tutorial/data/"])
    after = project.state()
    assert (before.head, before.status, before.index) == (after.head, after.status, after.index)


@pytest.mark.once
def test_a_commit_that_is_no_longer_on_a_branch(project: Project) -> None:
    """git keeps the commit of a run after a reset and a garbage collection."""
    project.write("answer.py", "VALUE = 2\n")
    commit = project.commit()
    project.launch()
    project.git("reset", "-q", "--hard", "HEAD~1")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "-q", "--prune=now")
    assert project.git("show", f"{commit}:tutorial/answer.py") == "VALUE = 2"


def test_ignored_configuration(project: Project) -> None:
    """The copy has the configuration of the commit; if that would launch something else, nothing is launched."""
    project.write("conf/config.yaml", "defaults: [_self_, {override hydra/launcher: local}]\nx: 1\naction: null\n")
    result = project.run("-m", "x=1,2", *COPY, *option(uncommitted="ignore"))
    assert result.status == 1
    assert "has a different hydra.launcher than the configuration here: commit the configuration too" in result.stderr
    assert project.runs() == []
    project.write("conf/config.yaml", "x: 5\naction: null\n")
    project.launch(*option(uncommitted="ignore"))
    assert project.seen()[0]["config"]["x"] == 1


def test_configuration_read_from_the_repository(project: Project) -> None:
    project.write("more/y.yaml", "")
    project.commit()
    result = project.run(*COPY, f"hydra.searchpath=['file://{project.directory}/more']")
    assert result.status == 1
    assert f"The configuration in {project.directory}/more would be read from the repository, not" in result.stderr
    result = project.run(*COPY, "--config-dir", str(project.directory / "more"))
    assert result.status == 0, result.text


def test_chosen_in_the_configuration(project: Project) -> None:
    callbacks = "{override hydra/callbacks: [mlxp_logging, mlxp_versioning]}"
    project.write(
        "conf/config.yaml",
        f"defaults: [_self_, {callbacks}]\nx: 1\naction: null\n"
        "hydra: {callbacks: {mlxp_versioning: {run_from: copy}}, run: {dir: 'out/${x}'}}\n",
    )
    project.commit()
    assert project.run("x=1").status == 0
    assert project.run("-m", "x=1,2").status == 0
    assert [record["version_manager"]["commit_hash"] for record in project.records()] == [project.head] * 3


STARTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "from the root": (".", ("tutorial/main.py",)),
    "module": ("tutorial", ("-m", "main")),
    "absolute": ("tutorial", ("{root}/tutorial/main.py",)),
    "interpreter's options": ("tutorial", ("-u", "-X", "dev", "-Wignore", "main.py")),
    "from an ignored directory": ("scratch", ("../tutorial/main.py",)),
    "from outside": ("..", ("my project/tutorial/main.py",)),
}


@pytest.mark.once
@pytest.mark.parametrize("name", STARTS)
def test_where_it_is_started(project: Project, name: str) -> None:
    place, program = STARTS[name]
    project.write("../.gitignore", "scratch\n")
    commit = project.commit()
    start = Project((project.root / place).resolve(), environment=project.environment)
    start.directory.mkdir(exist_ok=True)
    program = tuple(word.format(root=project.root) for word in program)
    result = start.run("-m", *COPY, "x=1", "hydra/launcher=local", "+y='a b'", program=program)
    assert result.status == 0, result.text
    copy = start.directory / ".workdir" / "my project" / commit
    (seen,) = start.seen()
    assert seen["main"][0] == str(copy / "tutorial" / "main.py")
    inside = start.directory.is_relative_to(project.root)
    assert seen["cwd"] == str(copy / start.directory.relative_to(project.root) if inside else start.directory)
    assert start.runs() == [start.directory / "logs" / "1"]


@pytest.mark.once
def test_a_run_asks_nothing(project: Project) -> None:
    """The script of a job runs again, whatever the state of the repository."""
    project.launch("-m", "x=1", "hydra/launcher=local")
    project.write("answer.py", "this is no Python")
    project.write("new.py", "")
    (run,) = project.runs()
    (run / "seen.json").unlink()
    assert project.call("bash", str(run / "script.sh")).status == 0
    assert project.seen()[0]["answer"][0] == 1
    assert project.records()[0]["version_manager"]["uncommitted"] == "none"


@pytest.mark.once
def test_launches_at_the_same_time(project: Project) -> None:
    """Each launch runs all of its changes, whatever the others do to the index."""
    project.write("extra.py", "VALUE = 7\n")
    project.write("answer.py", "from extra import VALUE\n")
    before = project.state()
    arguments = [*COPY, *option(uncommitted="keep", untracked="add")]
    command = [project.python, "main.py", *arguments]
    processes = [subprocess.Popen(command, cwd=project.directory, stdout=subprocess.DEVNULL) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert [seen["answer"][0] for seen in project.seen()] == [7] * 4
    assert len({record["version_manager"]["commit_hash"] for record in project.records()}) == 1
    after = project.state()
    assert (before.head, before.status, before.index) == (after.head, after.status, after.index)


def test_a_program_that_calls_hydra_twice(project: Project) -> None:
    text = (project.directory / "main.py").read_text()
    project.write("main.py", text.replace("    main()\n", "    main()\n    main()\n"))
    project.commit()
    for mode in ([], ["-m", "x=1,2"]):
        project.launch(*mode)
    assert len(project.runs()) == 6
    assert len(project.copies()) == 1
    assert {record["version_manager"]["commit_hash"] for record in project.records()} == {project.head}


def test_what_the_program_sets_before_hydra(project: Project) -> None:
    """The restarted program sets it again, with paths of the copy, and only once."""
    text = (project.directory / "main.py").read_text()
    project.write(
        "main.py",
        "import os, sys\nos.environ.setdefault('PROBE_ROOT', os.path.dirname(os.path.realpath(__file__)))\n"
        "sys.argv.append('+new=1')\n" + text,
    )
    project.commit()
    project.launch("-m", "x=1")
    (seen,) = project.seen()
    assert seen["environment"] == {"PROBE_ROOT": str(project.copies()[0] / "tutorial")}
    assert seen["config"]["new"] == 1


@pytest.mark.once
def test_closed_output(project: Project) -> None:
    words = shlex.join([project.python, "main.py", *COPY])
    for closed in (">&-", "2>&-", "<&-"):
        result = project.call("sh", "-c", f"{words} {closed}")
        assert result.status == 0, result.text


@pytest.mark.once
def test_signed_commits_in_the_log(project: Project) -> None:
    project.git("config", "log.showSignature", "true")
    project.write("answer.py", "VALUE = 2\n")
    project.launch(*option(uncommitted="keep"))
    assert project.seen()[0]["answer"][0] == 2


@pytest.mark.once
def test_untracked_files_in_a_submodule(project: Project, tmp_path: Path) -> None:
    """They cause a warning, are recorded, and do not count as changes."""
    library = Project(tmp_path / "library" / "code", environment=project.environment).create()
    project.git("-c", "protocol.file.allow=always", "submodule", "add", "-q", str(library.root), "library")
    project.commit()
    (project.root / "library" / "notes.txt").write_text("")
    result = project.launch(*option(uncommitted="refuse", untracked="refuse"))
    assert "Warning: the submodule library has untracked files, which are not in its commit." in result.stdout
    version = project.records()[0]["version_manager"]
    assert (version["uncommitted"], version["untracked"]) == ("none", ["library/"])
    git = ("-c", "user.name=a", "-c", "user.email=b", "commit", "-q", "--allow-empty", "-m", "ahead")
    subprocess.run(["git", "-C", str(project.root / "library"), *git], check=True)
    project.launch(*option(uncommitted="keep", untracked="refuse"))
    version = project.records()[1]["version_manager"]
    assert (version["uncommitted"], version["untracked"]) == ("kept", ["library/"])


@pytest.mark.once
def test_requirements(project: Project) -> None:
    project.write("reader.py", "import yaml, json\nfrom numpy import array\nimport answer\nimport nowhere\n")
    project.write("loggers/numpy.py", "")
    project.write("../omegaconf/data.txt", "")
    project.write("../yaml_tools/__init__.py", "")
    project.commit()
    project.launch(*option(compute_requirements="true"))
    found = project.records()[0]["version_manager"]["requirements"]
    assert [line.partition("==")[0] for line in found] == ["hydra-core", "numpy", "omegaconf", "PyYAML"]
    assert f"PyYAML=={yaml.__version__}" in found


def test_hydra_run_dir_does_not_move(project: Project, tmp_path: Path) -> None:
    project.write("../.gitignore", "out\nlocal\n")
    project.commit()
    inside = ("${hydra:runtime.cwd}/out/c", "${hydra.runtime.cwd}/out/d")
    for directory in (
        *("out/${x}", str(tmp_path / "elsewhere"), "${oc.env:PROBE_BASE}/b", "${oc.env:PROBE_LOCAL}/b"),
        *inside,
    ):
        result = project.run(
            "hydra/callbacks=mlxp_versioning",
            *option(run_from="copy"),
            f"hydra.run.dir='{directory}'",
            env={"PROBE_BASE": str(tmp_path / "base"), "PROBE_LOCAL": "local"},
        )
        assert result.status == 0, result.text
    found = {str(path.parent) for path in tmp_path.rglob("seen.json")}
    expected = [project.directory / "out/1", tmp_path / "elsewhere", tmp_path / "base/b", project.directory / "local/b"]
    expected += [project.directory / "out/c", project.directory / "out/d"]
    assert found == {str(path) for path in expected}
