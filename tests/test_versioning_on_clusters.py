"""Pending jobs run the code as it was when they were submitted, on the real schedulers."""

from __future__ import annotations

import pytest

from tests.clusters import Cluster
from tests.projects import COPY, MAIN, Project, install_editable, option, virtual_environment

SETUP = "from setuptools import setup\nsetup(name='code', version='1', packages=['library'], package_dir={'': 'src'})\n"


@pytest.fixture
def project(scheduler: Cluster, request: pytest.FixtureRequest) -> Project:
    """A project of the scheduler's user, with a package in src/."""
    home = scheduler.app(request.node.name)
    project = Project(home.directory / "project" / "tutorial", home.python, home.environment, home.user).create()
    project.write("../src/library/__init__.py", "VALUE = 1\n")
    project.write("../setup.py", SETUP)
    project.write("../.gitignore", "*.egg-info\nbuild\n")
    project.write("main.py", MAIN.replace("import answer\n", "import answer, library\n    answer = library\n", 1))
    return project


@pytest.mark.parametrize("installed", ["pip install -e", "PYTHONPATH"])
def test_edited_while_jobs_are_pending(scheduler: Cluster, project: Project, installed: str) -> None:
    environment = {}
    if installed == "PYTHONPATH":
        environment = {"PYTHONPATH": f"{project.root}/src"}
    else:
        outer, project.python = project.python, virtual_environment(project.root.parent / "venv", project.python)
        install_editable(project, outer=outer)
    submitted = project.commit()
    project.write("../src/library/__init__.py", "VALUE = 2\n")  # uncommitted, and kept for this launch
    with scheduler.held() as held:
        launcher = (f"hydra/launcher={scheduler.launcher}", held)
        result = project.launch("-m", "x=1,2,3", *launcher, *option(uncommitted="keep"), env=environment)
        assert "logs/3  job " in result.stdout
        project.write("../src/library/__init__.py", "VALUE = 3\n")
        project.write("main.py", "this is no Python")
        project.write("conf/config.yaml", "x: {broken")
        project.commit()
        project.git("gc", "-q", "--prune=now")
        (project.directory / "answer.py").unlink()
        assert project.seen() == []
    assert scheduler.wait(scheduler.job_ids(project)) == ["COMPLETED"] * 3
    (copy,) = project.copies()
    assert [seen["answer"] for seen in project.seen()] == [[2, f"{copy}/src/library/__init__.py"]] * 3
    for record in project.records():
        version = record["version_manager"]
        assert (record["status"], record["work_dir"]) == ("COMPLETE", str(copy / "tutorial"))
        assert (version["commit_hash"], version["uncommitted"], version["branch"]) == (copy.name, "kept", "main")
        assert {"loaded_from_repository", "changed_at_start"}.isdisjoint(version)
    assert project.git("rev-parse", f"{copy.name}^") == submitted
    script = (project.directory / "logs" / "1" / "script.sh").read_text()
    assert f"cd {copy}/tutorial || " in script


@pytest.mark.once
def test_running_the_script_again(scheduler: Cluster, project: Project) -> None:
    """A script that is started by hand later runs the same code."""
    project.commit()
    environment = {"PYTHONPATH": f"{project.root}/src"}
    project.launch("-m", "x=1", f"hydra/launcher={scheduler.launcher}", env=environment)
    assert scheduler.wait(scheduler.job_ids(project)) == ["COMPLETED"]
    (run,) = project.runs()
    (run / "seen.json").unlink()
    project.write("main.py", "this is no Python")
    assert project.call("bash", str(run / "script.sh")).status == 0
    assert project.seen()[0]["answer"][0] == 1
    assert COPY[0] in (run / "script.sh").read_text()
