"""`mlxp clean`: nothing that a run or a user needs is deleted."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from mlxp_core.status.local_processes import running_scripts
from mlxp_core.versioning.copy_usage import register_runs, registered_roots, unregister_runs
from mlxp_core.versioning.safe_copy import own_files
from tests.clusters import Cluster
from tests.programs import LOGGING, App, Result, info
from tests.projects import COPY, Project, option
from tests.support.cli import mlxp, statuses
from tests.support.processes import wait_until
from tests.terminals import Terminal

pytestmark = pytest.mark.once

# A name that a shell, a terminal, YAML and a list of lines could each misread
ODD = "a 'scratch'\n-é$(x)"


def failing(project: Project, *arguments: str) -> Path:
    """Start a run that fails in a safe copy; return the copy."""
    result = project.run("action=exit3", *COPY, *option(untracked="ignore"), *arguments)
    assert result.status == 3, result.text
    return Path(info(project.directory / "logs" / "1")["version_manager"]["safe_copy"])


def terminal(app: App, *arguments: str) -> Terminal:
    return Terminal(app, *arguments, program=str(Path(app.python).with_name("mlxp")))


def test_clean(project: Project) -> None:
    """Copies are kept for runs in all directories, and commits while a record names them; runs are deleted."""
    finished = project.head
    project.launch("x=1")
    project.write("answer.py", "VALUE = 2\n")
    failed = project.commit()
    assert project.run("action=exit3", *COPY).status == 3
    first, second = (project.directory / ".workdir" / project.root.name / commit for commit in (finished, failed))
    result = mlxp(project, "clean")
    assert (result.status, f"Kept: .workdir/{second.parent.name}/{failed}\n" in result.stdout) == (2, True), result.text
    assert re.search(rf"{finished} +1 +[\d.]+ kB$", result.stdout, re.MULTILINE), result.text
    (first / "tutorial" / "result.txt").write_text("0.97")
    assert "it contains files that are in no commit: tutorial/result.txt" in mlxp(project, "clean", "-y").stdout
    (first / "tutorial" / "result.txt").unlink()
    project.git("checkout", "-q", finished)
    assert project.run("action=exit3", *COPY, "hydra.callbacks.mlxp_logging.parent_log_dir=others").status == 3
    result = mlxp(project, "clean", "-y")
    assert (result.status, "others/1 did not complete" in result.stdout) == (0, True), result.text
    assert project.copies() == sorted([first, second])
    assert mlxp(project, "clean", "others", "--runs", "--status", "FAILED", "-y").status == 0
    (second.parent / ".deleted-half-01234567").mkdir()
    assert mlxp(project, "clean", "-y").status == 0
    assert project.copies() == [second]
    assert f"refs/mlxp/{finished}" in project.state().refs
    result = mlxp(project, "clean", "--runs", "--status", "FAILED", "-y")
    assert (result.status, "1 run: logs/2\n" in result.stdout) == (0, True), result.text
    assert sorted(path.name for path in project.directory.glob("logs/[!.]*")) == ["1"]
    assert mlxp(project, "clean", "-y").status == 0
    assert project.copies() == []
    assert (f"refs/mlxp/{finished}" in project.state().refs, f"refs/mlxp/{failed}" in project.state().refs) == (
        True,
        False,
    )
    project.launch("x=1")
    assert (project.directory / "logs" / "3").is_dir()
    for arguments, message in (
        (("--runs",), "--runs and --status go together"),
        (("--runs", "--status", "FAILD"), "there is no status FAILD; did you mean FAILED?"),
        (("nowhere", "--runs", "--status", "FAILED"), "No ./nowhere here"),
    ):
        result = mlxp(project, "clean", *arguments)
        assert (result.status, message in result.stderr) == (2, True), result.text


def test_clean_keeps_linked_runs(app: App) -> None:
    """Neither the link nor the run is deleted."""
    app.run("action=exit3", LOGGING)
    app.run("action=exit3", LOGGING)
    first, elsewhere = app.directory / "logs" / "1", app.directory / "elsewhere"
    first.rename(elsewhere)
    first.symlink_to(elsewhere)
    for status in (0, 1):
        result = mlxp(app, "clean", "--runs", "--status", "FAILED", "-y")
        assert result.status == status, result.text
        assert f"logs/1 is kept: it is a symbolic link to {elsewhere}" in result.stdout
    assert (first / "metadata" / "info.yaml").samefile(elsewhere / "metadata" / "info.yaml")
    assert statuses(app) == {"1": "FAILED"}


def test_clean_keeps_running_runs(scheduler: Cluster) -> None:
    """Neither the run nor its copy is deleted."""
    home = scheduler.app(f"actions-clean-{scheduler.launcher}")
    project = Project(home.directory / "project" / "tutorial", home.python, home.environment, home.user).create()
    project.launch("-m", "action=sleep600", f"hydra/launcher={scheduler.launcher}")
    scheduler.wait_for(lambda: len(project.runs()) == 1, 400)
    for arguments in ((), ("--runs", "--status", "RUNNING")):
        result = mlxp(project, "clean", "-y", *arguments)
        assert "ept" in result.stdout, result.text
    assert len(project.copies()) == 1
    assert len(project.runs()) == 1
    assert mlxp(project, "cancel", "1", "-y").status in (0, 1)


@pytest.mark.parametrize("how", ["linked .workdir", "links to links", "moved .workdir", "path through a link"])
def test_copies_are_compared_as_files(project: Project, tmp_path: Path, how: str) -> None:
    """A copy is kept for a run that failed, by whatever path it is found."""
    scratch, directory = tmp_path / ODD, project.directory
    place = directory / ".workdir"
    if how != "moved .workdir":
        scratch.mkdir()
    if how in ("linked .workdir", "links to links"):
        place.symlink_to(scratch)
    copy = failing(project)
    given = []
    if how == "links to links":  # the logs are moved, and links lead there
        shutil.move(directory / "logs", scratch / "logs")
        (tmp_path / "second").symlink_to(scratch / "logs")
        (directory / "logs").symlink_to(tmp_path / "second")
    elif how == "moved .workdir":
        place.rename(scratch)
        place.symlink_to(scratch)
    elif how == "path through a link":
        (tmp_path / "link").symlink_to(directory)
        given = [str(tmp_path / "link" / "logs")]
    result = mlxp(project, "clean", "-y", *given)
    assert copy.is_dir(), result.text
    assert result.stdout.count("Kept: ") == 1
    assert re.search(r"logs/1 did not complete\.$", result.stdout, re.MULTILINE), result.text


def test_copies_of_moved_runs(project: Project, tmp_path: Path) -> None:
    """Copies are kept until the user says where the runs are, or that they are deleted."""
    copy = failing(project)
    shutil.move(project.directory / "logs", tmp_path / "archive")
    result = mlxp(project, "clean", "-y")
    assert f"the runs in {project.directory}/logs may need it, but that directory no longer exists" in result.stdout
    result = mlxp(project, "clean", "-y", str(tmp_path / "archive"))
    assert "archive/1 did not complete." in result.stdout
    for answer in "n", "y":
        asked = terminal(project, "clean")
        text = asked.until("Did you delete its runs (y), or move them (n)? (y/n): ")
        assert f"  {project.directory}/logs\n" in text
        if answer == "n":
            assert "Kept: " in asked.end(answer)[1]
        else:
            asked.answer(answer, "Delete this copy")
            assert copy.is_dir()
            assert asked.end("y")[0] == 0
    assert project.copies() == []
    assert "refs/mlxp" not in project.state().refs


def test_registered_roots(project: Project) -> None:
    """Directories of runs have any name; one that was withdrawn can be registered again."""
    version = {"safe_copy": None, "repo_path": str(project.root)}
    roots = [Path("/a") / name for name in (ODD, "\r", "b", '"c"')]
    for root in [*roots, *roots]:
        register_runs(version, root)
    common = project.root / ".git"
    assert registered_roots(common) == roots
    unregister_runs(common, roots[0])
    assert registered_roots(common) == roots[1:]
    register_runs(version, roots[0])
    assert registered_roots(common) == [*roots[1:], roots[0]]


def test_files_beside_the_commit(project: Project, tmp_path: Path) -> None:
    """Results in submodules, links, and other files than byte code in __pycache__."""
    inner, library = Project(tmp_path / "inner" / "deep").create(), Project(tmp_path / "library" / "code").create()
    allow = ("-c", "protocol.file.allow=always")
    library.git(*allow, "submodule", "add", "-q", str(inner.root), "deep")
    library.commit()
    project.git(*allow, "submodule", "add", "-q", str(library.root), "library")
    project.git(*allow, "submodule", "update", "-q", "--init", "--recursive")
    project.commit()
    project.write("data/a", "1")
    project.git("config", "core.excludesFile", "/dev/null")
    (project.root / ".git" / "info" / "exclude").write_text("data\n__pycache__\n")
    project.launch("x=1", *option(links="[data]"))
    (copy,) = project.copies()
    for name in ("tutorial/__pycache__/answer.pyc", "library/code/__pycache__/answer.cpython-39.opt-1.pyc.12345678"):
        (copy / name).parent.mkdir(exist_ok=True)
        (copy / name).write_bytes(b"")
    assert (copy / "tutorial" / "data" / "a").is_file()
    assert own_files(copy) == []

    def write(name: str) -> None:
        (copy / name).parent.mkdir(exist_ok=True, parents=True)
        (copy / name).unlink(missing_ok=True)  # tracked files are read-only
        (copy / name).write_text("0.97")

    def link(name: str) -> None:
        (copy / name).symlink_to("/nowhere")

    found = {}
    for make, name in (
        (write, "library/result.csv"),
        (write, "library/deep/results/a b.csv"),
        (write, "tutorial/__pycache__/model.pkl"),
        (write, "tutorial/results/é.txt"),
        (link, "tutorial/link"),
        (link, "library/deep/link"),
    ):
        make(name)
        found[name] = own_files(copy)
        (copy / name).unlink()
    assert found == {name: [name] for name in found}
    write("library/code/answer.py")
    assert own_files(copy) == ["library", "library/code/answer.py"]
    result = mlxp(project, "clean", "-y")
    assert "it contains files that are in no commit: library, library/code/answer.py." in result.stdout
    user = ("-c", "user.name=a", "-c", "user.email=b")
    subprocess.run(["git", *user, "commit", "-q", "-a", "-m", "of a job"], cwd=copy / "library", check=True)
    assert own_files(copy) == ["library", "library/.git/objects (new commits or staged files)"]
    project.git("-C", str(copy / "library"), "checkout", "-q", "HEAD^")
    assert own_files(copy) == ["library/.git/objects (new commits or staged files)"]


def test_a_run_starts_during_the_question(project: Project) -> None:
    """The copy, and the run, are checked again before they are deleted."""
    project.launch("x=1")
    (copy,) = project.copies()
    asked = terminal(project, "clean")
    asked.until("Delete this copy")
    failing(
        project, "hydra.callbacks.mlxp_logging.parent_log_dir=others", "hydra.callbacks.mlxp_logging.forced_log_id=1"
    )
    status, text = asked.end("y")
    assert (status, "others/1 did not complete." in text) == (0, True), text
    assert project.copies() == [copy]
    asked = terminal(project, "clean", "--runs", "--status", "COMPLETE")
    asked.until("Delete 1 run and everything")
    again = project.start(
        project.python, "main.py", "action=sleep600", LOGGING, "hydra.callbacks.mlxp_logging.forced_log_id=1"
    )
    wait_until(lambda: statuses(project) == {"1": "RUNNING"}, 400)
    try:
        status, text = asked.end("y")
        assert (status, "logs/1 is kept: RUNNING" in text) == (1, True), text
    finally:
        again.kill()
        again.communicate()
    assert (project.directory / "logs" / "1").is_dir()


def test_runs_with_foreign_content(app: App) -> None:
    """A run is kept with other runs, write-protected results, or a process on another machine."""
    for _ in range(4):
        app.run("action=exit3", LOGGING)
    logs = app.directory / "logs"
    shutil.copytree(logs / "1" / "metadata", logs / "1" / "artifacts" / "old" / "metadata")
    results = logs / "2" / "artifacts" / "results"
    results.mkdir(mode=0o555)
    record = logs / "3" / "metadata" / "info.yaml"
    text = re.sub("^(error|exit_status):.*\n(  .*\n)*", "", record.read_text(), flags=re.M)
    record.write_text(re.sub("hostname: .*", "hostname: elsewhere", text.replace("FAILED", "RUNNING")))
    assert statuses(app)["3"] == "UNKNOWN"
    result = mlxp(app, "clean", "--runs", "--status", "FAILED,UNKNOWN", "-y")
    assert result.status == 0, result.text
    assert f"logs/1 is kept: it contains the run {logs}/1/artifacts/old." in result.stdout
    assert f"logs/2 is kept: {results} is write-protected." in result.stdout
    assert "logs/3 is kept: its process on elsewhere may still be running." in result.stdout
    assert list(statuses(app)) == ["1", "2", "3"]


@pytest.fixture
def cluster_project(scheduler: Cluster, request: pytest.FixtureRequest) -> Project:
    """A project of the scheduler's user."""
    home = scheduler.app(request.node.name)
    return Project(home.directory / "project" / "tutorial", home.python, home.environment, home.user).create()


def submit_held(scheduler: Cluster, project: Project, script: Path) -> list[str]:
    """Submit a script by hand, as a job that waits; return the id of the job."""
    by_hand = {"slurm": ["sbatch", "--hold", str(script)], "oar": ["oarsub", "--hold", "-S", str(script)]}
    result = project.call(*by_hand[scheduler.launcher])
    assert result.status == 0, result.text
    return re.findall(r"(?:batch job |OAR_JOB_ID=)(\d+)", result.stdout)


def test_scripts_submitted_by_hand(scheduler: Cluster, cluster_project: Project) -> None:
    """The run was COMPLETE; while its script waits again, neither the run nor its copy is deleted."""
    project = cluster_project
    project.launch("-m", "x=1", f"hydra/launcher={scheduler.launcher}")
    scheduler.wait(scheduler.job_ids(project))
    assert statuses(project) == {"1": "COMPLETE"}
    (copy,) = project.copies()
    only_git = project.root / ".git" / "only-git"
    only_git.mkdir()
    (only_git / "git").symlink_to("/usr/bin/git")
    result = mlxp(project, "clean", "-y", env={"PATH": str(only_git)})
    assert f"did not report whether {project.directory}/logs/1 was submitted again." in result.stdout, result.text
    script = project.directory / "logs" / "1" / "script.sh"
    job = submit_held(scheduler, project, script)
    try:
        result = mlxp(project, "clean", "-y")
        assert (project.copies(), "logs/1 is PENDING" in result.stdout) == ([copy], True), result.text
        mlxp(project, "clean", "--runs", "--status", "COMPLETE,UNKNOWN", "-y")
        assert script.is_file()
    finally:
        scheduler.cancel(job)


def test_a_script_of_a_dry_run_submitted_by_hand(scheduler: Cluster, cluster_project: Project) -> None:
    """No other job is known of the run: neither the run nor its copy is deleted while its script waits."""
    project = cluster_project
    project.launch("-m", "x=1", f"hydra/launcher={scheduler.launcher}", "hydra.launcher.dry_run=true")
    assert statuses(project) == {"1": "NOT_SUBMITTED"}
    script = project.directory / "logs" / "1" / "script.sh"
    job = submit_held(scheduler, project, script)
    try:
        result = mlxp(project, "clean", "--runs", "--status", "NOT_SUBMITTED", "-y")
        assert script.is_file(), result.text
    finally:
        scheduler.cancel(job)


def test_a_script_started_by_hand(project: Project) -> None:
    """Neither the run nor its copy is deleted before the start is recorded."""
    project.launch("-m", "x=1", "hydra/launcher=local")
    script = project.directory / "logs" / "1" / "script.sh"
    script.write_text(script.read_text().replace("export MLXP_START=", "sleep 100\nexport MLXP_START=", 1))
    again = project.start("bash", str(script))
    wait_until(lambda: again.pid in running_scripts().values(), 400)
    try:
        result = mlxp(project, "clean", "-y")
        assert (len(project.copies()), "logs/1 is running" in result.stdout) == (1, True), result.text
        result = mlxp(project, "clean", "--runs", "--status", "COMPLETE", "-y")
        assert (result.status, "logs/1 is kept: its script is running." in result.stdout) == (1, True), result.text
    finally:
        os.killpg(again.pid, 9)
        again.communicate()


def test_resubmit_with_a_deleted_copy(scheduler: Cluster, cluster_project: Project) -> None:
    """The copy is made again, also for a run that never started."""
    project = cluster_project
    project.write("data/a", "1")
    project.write("../.gitignore", "data\n")
    commit = project.commit()
    with scheduler.held() as held:
        project.launch("-m", "x=1", f"hydra/launcher={scheduler.launcher}", held, *option(links="[data]"))
        assert mlxp(project, "cancel", "1", "-y").status in (0, 1)
        wait_until(lambda: statuses(project) == {"1": "CANCELLED"}, 400)
    project.write("answer.py", "VALUE = 2\n")
    project.commit()
    (copy,) = project.copies()
    shutil.rmtree(project.directory / ".workdir")
    ids = scheduler.job_ids(project)
    result = mlxp(project, "resubmit", "1")
    assert (result.status, f"Creating a copy of the repository at {copy}\n" in result.stdout) == (0, True), result.text
    scheduler.wait([job for job in scheduler.job_ids(project) if job not in ids])
    assert project.seen()[0]["answer"] == [1, f"{copy}/tutorial/answer.py"]
    assert (copy.name.split("-with-")[0], (copy / "tutorial" / "data" / "a").is_file()) == (commit, True)


def test_resubmit_without_the_repository(project: Project) -> None:
    """A local run is resubmitted with its commit; without the commit or the repository, the message says what to do."""
    commit = project.head
    local = ("-m", "hydra/launcher=local", "action=exit3", *COPY)
    assert project.run(*local).status == 1
    (copy,) = project.copies()
    assert json.loads(project.git("rev-list", "--count", "--all")) == 1
    shutil.rmtree(project.directory / ".workdir")
    result = mlxp(project, "resubmit", "1")
    assert (result.status, project.copies()) == (1, [copy]), result.text
    assert "Creating a copy of the repository" in result.stdout
    shutil.rmtree(project.directory / ".workdir")

    def refused(message: str) -> Result:
        before = info(project.directory / "logs" / "1")
        result = mlxp(project, "resubmit", "1")
        assert (result.status, message in result.stderr) == (1, True), result.text
        assert info(project.directory / "logs" / "1") == before
        return mlxp(project, "rerun", "1")

    project.git("update-ref", "-d", f"refs/mlxp/{commit}")
    project.git("commit", "-q", "--amend", "-m", "another")
    project.git("reflog", "expire", "--expire=now", "--all")
    project.git("gc", "-q", "--prune=now")
    assert "fetch it there" in refused(f"{project.root} no longer has commit {commit}: fetch it there").stderr
    copy.mkdir(parents=True)
    refused(f"logs/1 is not submitted: {copy} is no longer its safe copy. Move it away")
    shutil.rmtree(project.directory / ".workdir")
    (project.root / ".git").rename(project.root / "git")
    assert "put a clone of it there" in refused("no longer exists: put a clone of it there").stderr


def test_the_commit_of_a_copy_that_remains(project: Project) -> None:
    """Its objects are kept as long as any copy of it exists, whatever the copy is called."""
    copy = failing(project)
    other = copy.with_name(f"{copy.name}-2")
    shutil.copytree(copy, other, symlinks=True)
    (other / "result.txt").touch()
    shutil.rmtree(project.directory / "logs" / "1")
    result = mlxp(project, "clean", "-y")
    assert (project.copies(), result.status) == ([other], 0), result.text
    assert f"refs/mlxp/{copy.name}" in project.state().refs
