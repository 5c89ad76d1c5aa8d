"""`mlxp cancel`, `resubmit` and `rerun`, on real schedulers and on this machine."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.clusters import Cluster
from tests.programs import LOGGING, PROBE, App, Result, info
from tests.projects import Project
from tests.support.cli import mlxp, statuses
from tests.support.processes import wait_until
from tests.terminals import Terminal

pytestmark = pytest.mark.once


def cancel(app: App, *arguments: str) -> Result:
    """Cancel runs; OAR may need more time than the command waits."""
    result = mlxp(app, "cancel", *arguments, "-y")
    shown = result.stdout.partition("Now:\n")[2]
    assert "CANCELLED" in shown or "Not cancelled yet" in result.stderr, result.text
    assert (result.status == 0) == ("Not cancelled yet" not in result.stderr)
    left = [line.split()[0] for line in shown.splitlines()]
    wait_until(lambda: not any(statuses(app)[Path(run).name] == "RUNNING" for run in left))
    return result


def running(app: App) -> int:
    """Return how many runs have started."""
    return len(list(app.directory.glob("logs/*/seen.json")))


def test_cancel(cluster: Cluster, request: pytest.FixtureRequest) -> None:
    """Pending, running and finished tasks of an array."""
    app = cluster.app(f"actions-{request.node.name}").write_probe()
    extra = ["hydra.launcher.array_parallelism=2"] if cluster.launcher == "slurm" else []
    app.sweep("action=null,sleep600,sleep601,sleep602", f"hydra/launcher={cluster.launcher}", LOGGING, *extra)
    ids = cluster.job_ids(app)
    cluster.wait_for(lambda: running(app) >= 3 and info(app.directory / "logs" / "1").get("exit_status") == 0)
    result = app.call(str(Path(app.python).parent / "mlxp"), "cancel", "2", "-y", env={"PATH": "/nowhere"})
    assert (result.status, result.stdout.count("logs/2  RUNNING")) == (1, 2), result.text
    assert "is not on this machine" in result.stderr
    result = mlxp(app, "cancel", "1-2")
    assert (result.status, "there is no terminal" in result.stderr.lower()) == (2, True), result.text
    copy = app.directory / "logs" / "2-old"
    shutil.copytree(app.directory / "logs" / "2", copy, symlinks=True)
    app.give()
    result = mlxp(app, "cancel", "logs/2-old", "-y")
    assert (result.status, "it is a copy of" in result.stderr) == (1, True), result.text
    shutil.rmtree(copy)
    assert statuses(app)["2"] == "RUNNING"
    # The fourth run is pending on SLURM, because of array_parallelism
    result = cancel(app, "1,2,4")
    assert "logs/1 had already finished: COMPLETE\n" in result.stdout
    assert re.search(rf"  logs/4  \w+ +job {ids[3]}  action=sleep602\n", result.stdout)
    assert list(statuses(app).values()) == ["COMPLETE", "CANCELLED", "RUNNING", "CANCELLED"]
    cancel(app, "--all")
    assert list(statuses(app).values()) == ["COMPLETE", *["CANCELLED"] * 3]
    result = mlxp(app, "cancel", "--all")
    assert (result.status, result.stdout.count("had already finished")) == (0, 4)


def test_a_request_to_cancel_is_repeated(slurm: Cluster) -> None:
    app = slurm.app("actions-cancel-again").write_probe()
    app.sweep("action=sleep600", "hydra/launcher=slurm", LOGGING)
    slurm.wait_for_runs(app, 1)
    scancel = '#!/bin/sh\n[ -e asked ] && exec /usr/bin/scancel "$@"\ntouch asked; echo busy >&2; exit 1\n'
    app.write("busy/scancel", scancel).chmod(0o755)
    result = mlxp(app, "cancel", "1", "-y", env={"PATH": f"{app.directory}/busy:{app.environment['PATH']}"})
    assert (result.status, result.stdout.count("logs/1  CANCELLED")) == (0, 1), result.text
    assert "('scancel' ended with exit status 1): busy" in result.stderr


def test_cancel_waits_for_an_application_that_saves_its_work(app: App) -> None:
    """It may take as long as SLURM gives a job (KillWait, 30 s)."""
    ends = "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: (time.sleep(20), sys.exit(3)))\n"
    app.write("main.py", ends + PROBE)
    process = app.start(app.python, "main.py", "action=sleep600", LOGGING)
    wait_until(lambda: running(app) == 1)
    result = mlxp(app, "cancel", "1", "-y")
    assert (result.status, result.stdout.count("logs/1  FAILED")) == (0, 1), result.text
    process.communicate(timeout=900)


def test_cancel_shared_jobs(scheduler: Cluster) -> None:
    """The other runs of the job are listed."""
    app = scheduler.app(f"actions-shared-{scheduler.launcher}").write_probe()
    shared = ["hydra.launcher.runs_per_job=2", "hydra.launcher.parallel_runs=2"]
    app.sweep("action=sleep600,sleep601,sleep602", f"hydra/launcher={scheduler.launcher}", LOGGING, *shared)
    scheduler.wait_for(lambda: running(app) == 3)
    result = cancel(app, "1")
    assert re.search(r"share a job with them, and are cancelled too:\n  logs/2  RUNNING", result.stdout)
    assert list(statuses(app).values()) == ["CANCELLED", "CANCELLED", "RUNNING"]
    cancel(app, "logs/3")


def test_cancel_here(app: App) -> None:
    """A running, a pending and a plain run on this machine; the question is answered."""
    sweep = app.start(app.python, "main.py", "-m", "action=sleep600,sleep601", "hydra/launcher=local", LOGGING,
                      "hydra.launcher.n_jobs=1")  # fmt: skip
    plain = app.start(app.python, "main.py", "action=sleep602", LOGGING)
    wait_until(lambda: running(app) == 2)
    of = {info(run)["log_id"]: info(run) for run in app.directory.glob("logs/[0-9]")}
    (own,) = [str(number) for number, record in of.items() if record["scheduler"]["name"] is None]
    first, waits = [str(number) for number, record in sorted(of.items()) if record["scheduler"]["name"] is not None]
    assert statuses(app) == {first: "RUNNING", waits: "PENDING", own: "RUNNING"}
    result = mlxp(app, "cancel", waits, "-y")
    assert (result.status, f"logs/{waits} cannot be cancelled from here: it waits in the program" in result.stderr) == (
        1,
        True,
    )
    terminal = Terminal(app, "cancel", first, own, program=str(Path(app.python).parent / "mlxp"))
    terminal.until("Cancel 2 runs? (y/n): ")
    status, text = terminal.end("n")
    assert (status, "Nothing was cancelled" in text) == (1, True)
    terminal = Terminal(app, "cancel", first, own, program=str(Path(app.python).parent / "mlxp"))
    terminal.until("Cancel 2 runs? (y/n): ")
    status, text = terminal.end("y")
    assert status == 0, text
    record = info(app.directory / "logs" / first)
    assert (record["status"], record["error"]["message"]) == ("FAILED", "ended by signal SIGTERM during the run")
    assert statuses(app)[own] == "FAILED"
    wait_until(lambda: statuses(app)[waits] == "RUNNING")  # the launcher starts the next run
    assert mlxp(app, "cancel", "--all", "-y").status == 0
    for process in (sweep, plain):
        process.communicate(timeout=900)
    assert (sweep.returncode, plain.returncode) == (1, -15)


def test_cancel_a_copied_or_moved_directory(app: App) -> None:
    """A copy is refused, because its record names the process of the original; a moved directory is not."""
    plain = app.start(app.python, "main.py", "action=sleep600", LOGGING)
    wait_until(lambda: running(app) == 1)
    logs = app.directory / "logs"
    shutil.copytree(logs / "1", logs / "1-old")
    result = mlxp(app, "cancel", "logs/1-old", "-y")
    assert result.status == 1, result.text
    assert f"logs/1-old cannot be cancelled from here: it is a copy of {logs / '1'}" in result.stderr
    assert plain.poll() is None
    shutil.rmtree(logs / "1-old")
    (logs / "1").rename(logs / "moved")
    assert mlxp(app, "cancel", "logs/moved", "-y").status == 0
    plain.communicate(timeout=900)
    assert plain.returncode == -15


def test_bad_input_to_cancel(app: App) -> None:
    app.run(LOGGING)
    os.chown(app.directory / "logs" / "1", 12345, 12345)
    for arguments, status, message in (
        ((), 2, "Name runs, or give --all"),
        (("7",), 2, "There is no run 7 in logs; it has 1."),
        (("1",), 2, "belongs to user 12345; only the owner can do this"),
    ):
        for command in ("cancel", "resubmit") if arguments else ("cancel",):
            result = mlxp(app, command, *arguments)
            assert (result.status, message in result.stderr) == (status, True), result.text
    assert "only the owner can do this" in mlxp(app, "rerun", "1").stderr
    assert "Example" in mlxp(app, "cancel", "--help").stdout


# The action `flaky` fails until there is a file `mended` in the working directory
FLAKY = PROBE.replace(
    "    if action ==",
    "    if action == 'flaky' and not Path('mended').exists():\n        sys.exit(7)\n    if action ==",
    1,
)
# Kills the command just before it starts sbatch or oarsub
KILLED = """
import os, signal, sys
from mlxp_core.cli import main

def kill(event, arguments):
    if event == "subprocess.Popen" and os.path.basename(str(arguments[1][0])) in ("sbatch", "oarsub"):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
main()
"""


def flaky(app: App) -> App:
    """Write the probe with an action that fails at first."""
    app.write_probe().write("main.py", FLAKY)
    return app


def new_jobs(scheduler: Cluster, app: App, old: list[str]) -> list[str]:
    """Return the jobs that are not in `old`; SLURM may have forgotten old ones."""
    return [job for job in scheduler.job_ids(app) if job not in old]


def lines(app: App, number: int) -> int:
    """Return how often a run's application printed its line."""
    return (app.directory / "logs" / str(number) / "log.stdout").read_text().count("a line on stdout")


def test_resubmit(scheduler: Cluster) -> None:
    """Two commands at the same time submit each failed run once; a run with edited directives is submitted apart."""
    app = flaky(scheduler.app(f"actions-resubmit-{scheduler.launcher}"))
    app.sweep("action=null,flaky,flaky,flaky,sleep600", f"hydra/launcher={scheduler.launcher}", LOGGING)
    ids = scheduler.job_ids(app)
    scheduler.wait(ids[:4])
    scheduler.wait_for(lambda: running(app) == 5, 150)
    script = app.directory / "logs" / "4" / "script.sh"
    script.write_text(script.read_text().replace("logs/4\n", "logs/edited\n", 1).replace("action=flaky", "action=null"))
    app.write("mended", "")
    both = [app.start(str(Path(app.python).parent / "mlxp"), "resubmit", "--failed") for _ in range(2)]
    said = "".join("".join(process.communicate(timeout=900)) for process in both)
    again = new_jobs(scheduler, app, ids)
    assert len(again) == 3, said
    assert "Submitting logs/2-3 to" in said
    assert "Submitting logs/4 to" in said
    assert len({job.partition("_")[0] for job in again}) == (2 if scheduler.launcher == "slurm" else 3)
    assert scheduler.wait(again) == ["COMPLETED"] * 3
    assert list(statuses(app).values()) == [*["COMPLETE"] * 4, "RUNNING"]
    assert [lines(app, number) for number in (1, 2, 3, 4)] == [1, 2, 2, 2]
    record = info(app.directory / "logs" / "4")
    assert (record["scheduler"]["scheduler_job_id"] in again, "error" in record) == (True, False)
    assert "action=null" in script.read_text()
    names = {"slurm": ["squeue", "-h", "-t", "all", "-o", "%j", "-j", ",".join(again)], "oar": ["oarstat"]}
    if scheduler.launcher == "slurm":
        assert "logs/edited" in subprocess.run(names["slurm"], capture_output=True, text=True, check=True).stdout
    result = mlxp(app, "resubmit", "5", "1")
    assert (result.status, "logs/5 is not submitted: it is RUNNING" in result.stderr) == (2, True), result.text
    assert "This overwrites the results of 1 COMPLETE run (logs/1)" in result.stdout
    cancel(app, "5")
    result = mlxp(app, "resubmit", "--failed")
    assert result.status == 0, result.text
    assert "Skipped 1 CANCELLED run: logs/5. Name runs to resubmit them." in result.stdout
    assert len(scheduler.job_ids(app)) == 8
    assert mlxp(app, "resume").stdout == "Nothing to resume: all runs of 3 launches are submitted or started.\n"


def test_resubmit_is_killed(scheduler: Cluster) -> None:
    """Killed just before the submission; `mlxp resume` then submits each run once."""
    app = flaky(scheduler.app(f"actions-killed-{scheduler.launcher}"))
    app.sweep("action=flaky", "x=1,2", f"hydra/launcher={scheduler.launcher}", LOGGING)
    ids = scheduler.job_ids(app)
    scheduler.wait(ids)
    app.write("mended", "")
    assert app.call(app.python, "-c", KILLED, "resubmit", "1-2").status == -9
    assert set(statuses(app).values()) == {"UNKNOWN"}
    result = mlxp(app, "resubmit", "1")
    assert (result.status, "mlxp resume" in result.stderr) == (1, True), result.text
    result = mlxp(app, "resume")
    assert (result.status, "submitting logs/1-2" in result.stdout) == (0, True), result.text
    scheduler.wait(new_jobs(scheduler, app, ids))
    assert set(statuses(app).values()) == {"COMPLETE"}
    assert [lines(app, number) for number in (1, 2)] == [2, 2]


def test_resubmit_here(app: App) -> None:
    """Runs of hydra/launcher=local; a plain run has no script."""
    flaky(app)
    app.run("-m", "action=flaky,null,exit3", "hydra/launcher=local", LOGGING)
    app.run(LOGGING)
    app.write("mended", "")
    result = mlxp(app, "resubmit", "--failed", "--n-jobs", "1")
    assert (result.status, result.stdout.splitlines()[1:]) == (
        1,
        ["  1/2  COMPLETE  logs/1", "  2/2  FAILED    logs/3"],
    ), result.text
    assert list(statuses(app).values()) == ["COMPLETE", "COMPLETE", "FAILED", "COMPLETE"]
    assert (lines(app, 1), lines(app, 2)) == (2, 1)
    result = mlxp(app, "resubmit", "4", "-y")
    assert (result.status, "has no script; 'mlxp rerun 4' starts it again" in result.stderr) == (1, True), result.text


def test_rerun(project: Project) -> None:
    """The new run has the old commit, even if its copy was deleted, and the old overrides; also as a sweep."""
    commit = project.head
    project.launch("x=5", "action=null")
    project.write("answer.py", "VALUE = 2\n")
    project.write("conf/config.yaml", "x: {broken")
    (copy,) = project.copies()
    shutil.rmtree(copy)
    result = mlxp(project, "rerun", "1")
    assert result.status == 0, result.text
    result = mlxp(project, "rerun", "logs/2", "hydra/launcher=local", "+y=7,8")
    assert result.status == 0, result.text
    seen = {Path(run["output_dir"]).name: run for run in project.seen()}
    assert sorted(seen) == ["1", "2", "3", "4"]
    assert [run["answer"] for run in seen.values()] == [[1, f"{copy}/tutorial/answer.py"]] * 4
    assert [seen[number]["config"] for number in "234"] == [
        {"x": 5, "action": None},
        {"x": 5, "action": None, "y": 7},
        {"x": 5, "action": None, "y": 8},
    ]
    for record in project.records():
        version = record["version_manager"]
        assert (version["commit_hash"], version["safe_copy"], record["status"]) == (commit, str(copy), "COMPLETE")
        assert "loaded_from_repository" not in version
    assert project.copies() == [copy]


def test_rerun_without_a_commit(app: App) -> None:
    """The present code is used, with a message; also for runs in Hydra's directories, started by `python -m`."""
    app.write("conf/other.yaml", "x: 3\naction: null\n")
    local = ("hydra/launcher=local", "hydra.sweep.dir=sweep")
    app.run("-m", "--config-name=other", "+y=4,5", *local, program=("-m", "main"))
    app.write("main.py", PROBE.replace('"config": ', '"edited": 1, "config": '))
    app.run("x=1", LOGGING)
    for arguments in (("logs/1", "x=9"), ("sweep/1", "x=6", LOGGING)):
        result = mlxp(app, "rerun", *arguments)
        assert (result.status, "so the new run uses the present code" in result.stderr) == (0, True), result.text
    seen = {Path(run["output_dir"]).name: run for run in app.seen() if "logs" in run["output_dir"]}
    assert [seen[number]["config"]["x"] for number in "123"] == [1, 9, 6]
    assert (seen["3"]["config"]["y"], seen["3"]["main"][1], seen["3"]["edited"]) == (5, "main", 1)
    result = mlxp(app, "rerun", "1", "x")
    assert (result.status, "'x' is not an override" in result.stderr) == (2, True), result.text
    result = mlxp(app, "rerun", "1", "-m", "x=1,2")
    assert (result.status, "mlxp rerun 1 hydra/launcher=slurm x=1,2" in result.stderr) == (2, True), result.text


def test_rerun_on_a_scheduler(scheduler: Cluster) -> None:
    """A run of a sweep is started again on the scheduler, and here, where the launcher's options are ignored."""
    home = scheduler.app(f"actions-rerun-{scheduler.launcher}")
    project = Project(home.directory / "project" / "tutorial", home.python, home.environment, home.user).create()
    launcher = f"hydra/launcher={scheduler.launcher}"
    project.launch("-m", "x=1,2", launcher, "hydra.launcher.timeout_min=5")
    ids = scheduler.job_ids(project)
    scheduler.wait(ids)
    project.write("answer.py", "VALUE = 2\n")
    project.commit()
    result = mlxp(project, "rerun", "2", launcher, "+y=3")
    assert result.status == 0, result.text
    scheduler.wait(new_jobs(scheduler, project, ids))
    result = mlxp(project, "rerun", "3", "+z=4")
    assert result.status == 0, result.text
    seen = {Path(run["output_dir"]).name: run for run in project.seen()}
    assert [seen[number]["config"] for number in "34"] == [
        {"x": 2, "action": None, "y": 3},
        {"x": 2, "action": None, "y": 3, "z": 4},
    ]
    assert [seen[number]["answer"][0] for number in "1234"] == [1] * 4
    script = (project.directory / "logs" / "3" / "script.sh").read_text()
    assert "hydra.launcher.timeout_min=5" in script
    assert list(statuses(project).values()) == ["COMPLETE"] * 4


def test_unknown_runs_are_not_resubmitted_unasked(slurm: Cluster) -> None:
    """The scheduler cannot be reached, or has forgotten the job."""
    app = slurm.app("actions-unknown").write_probe()
    app.sweep("action=exit3", "x=1,2", "hydra/launcher=slurm", LOGGING)
    slurm.wait(slurm.job_ids(app))
    command = str(Path(app.python).parent / "mlxp")
    result = app.call(command, "resubmit", "--failed", env={"PATH": "/nowhere"})
    assert (result.status, result.stderr.count("SLURM did not report whether it has finished")) == (1, 2), result.text
    # As if SLURM had forgotten the job, and the job had not recorded its end
    record = app.directory / "logs" / "1" / "metadata" / "info.yaml"
    record.write_text(
        re.sub("^(error|exit_status):.*\n(  .*\n)*", "", record.read_text().replace("FAILED", "RUNNING"), flags=re.M)
    )
    (noted,) = app.directory.glob("logs/sweeps/*/submissions.jsonl")
    base = slurm.job_ids(app)[0].partition("_")[0]
    for file in (noted, record):
        file.write_text(file.read_text().replace(f"{base}_0", "99999999"))
    # In the first minute after the submission, the absence of a job means nothing
    slurm.wait_for(lambda: statuses(app) == {"1": "UNKNOWN", "2": "FAILED"})
    result = mlxp(app, "resubmit", "--failed")
    assert (result.status, "Submitting logs/2 to SLURM" in result.stdout) == (0, True), result.text
    assert "Skipped 1 UNKNOWN run (end not recorded): logs/1. Name runs to resubmit them." in result.text
    result = mlxp(app, "resubmit", "1")
    assert (result.status, "This overwrites the results of 1 UNKNOWN run (logs/1)" in result.stdout) == (2, True)
    assert mlxp(app, "resubmit", "1", "-y").status == 0
