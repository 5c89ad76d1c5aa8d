"""Local sweeps that are killed: `mlxp ls` says which runs have not started, and `mlxp resume` starts these."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.programs import App
from tests.support.cli import listed, mlxp, statuses
from tests.support.killed import install, ran, resume
from tests.support.processes import wait_until

pytestmark = [pytest.mark.hydra, pytest.mark.slow]

# Each run waits for the file "go", and ends with status 1 if its value is 3
WAITING = """
import hydra, os, sys, time

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    open(f"ran-{config.x}", "a").write("ran\\n")
    while not os.path.exists("go"):
        time.sleep(0.05)
    sys.exit(config.x == 3)

main()
"""
LOCAL = ("hydra/launcher=local", "hydra.launcher.n_jobs=1", "hydra/callbacks=mlxp_logging")


def kill_while_run_1_runs(app: App) -> Path:
    """Start a sweep of four runs, one at a time, and kill the launching process during the first run."""
    app.write("main.py", WAITING)
    process = app.start(app.python, "main.py", "-m", "x=1,2,3,4", *LOCAL)
    wait_until(lambda: (app.directory / "ran-1").exists())
    assert statuses(app) == {"1": "RUNNING", "2": "PENDING", "3": "PENDING", "4": "PENDING"}
    assert "launch-1 is skipped: its program is running, and starts its runs itself." in mlxp(app, "resume").stdout
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (sweep,) = app.directory.glob("logs/sweeps/*")
    return sweep


def test_resume_starts_the_rest(app: App) -> None:
    """The run that has started continues, and `mlxp resume` starts each of the others once."""
    sweep = kill_while_run_1_runs(app)
    rows = listed(app)
    assert {run: status for run, (status, _) in rows.items()} == {
        "1": "RUNNING", "2": "NOT_SUBMITTED", "3": "NOT_SUBMITTED", "4": "NOT_SUBMITTED",
    }  # fmt: skip
    assert rows["2"][1] == f"its launch ended before it started; 'mlxp resume {sweep}' starts it"
    refused = mlxp(app, "resubmit", "2")
    assert (refused.status, "'mlxp resume" in refused.stderr) == (1, True)
    app.write("go", "")
    assert app.call("bash", "logs/2/script.sh").status == 0  # by hand
    result = resume(app)
    assert result.status == 0, result.text
    assert result.stdout.startswith("2 runs on this machine, 1 at a time\n")
    assert result.stdout.endswith("\n1 of 2 runs failed: logs/3.\n")
    wait_until(lambda: statuses(app)["1"] != "RUNNING")
    assert statuses(app) == {"1": "COMPLETE", "2": "COMPLETE", "3": "FAILED", "4": "COMPLETE"}
    assert [(app.directory / f"ran-{x}").read_text() for x in range(1, 5)] == ["ran\n"] * 4
    assert resume(app).stdout == "Nothing to resume: all runs of 1 launch are submitted or started.\n"
    result = mlxp(app, "resubmit", "--failed")
    assert "logs/3" in result.stdout
    assert (app.directory / "ran-3").read_text() == "ran\n" * 2


def test_resume_is_interrupted(app: App) -> None:
    """`mlxp resume` can be interrupted, and resumed again; two at once do not start a run twice."""
    kill_while_run_1_runs(app)
    process = app.start(str(Path(app.python).with_name("mlxp")), "resume")
    wait_until(lambda: (app.directory / "ran-2").exists())
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=400)
    assert stderr.endswith(
        "Interrupted. The running runs were stopped. Not started: logs/3-4. 'mlxp resume' starts them.\n"
    )
    app.write("go", "")
    two = [app.start(str(Path(app.python).with_name("mlxp")), "resume") for _ in "12"]
    said = sorted(process.communicate(timeout=400)[0].count("COMPLETE") for process in two)
    assert said == [0, 1]
    assert statuses(app)["2"] == "FAILED"
    assert [(app.directory / f"ran-{x}").read_text() for x in range(1, 5)] == ["ran\n"] * 4


def test_killed_at_each_step(app: App) -> None:
    """A sweep killed before a write or the start of a run loses no run and starts none twice."""
    install(app)
    words = ["-m", "name=NAME", "x=0,1", *LOCAL, "hydra.callbacks.mlxp_logging.parent_log_dir=NAME"]

    def launch(launches: list[str]) -> None:
        app.run(*words, env={"LAUNCHES": " ".join(launches)})

    launch(["whole"])  # "failed", because this application does not record its runs
    steps = (app.directory / "steps").read_text().split()
    plan, start = steps.index("os.rename:plan.json") + 1, steps.index("open:submissions.jsonl") + 1
    assert plan < steps.index("open:info.yaml") + 1 < start
    before, after = [plan - 1, plan], [plan + 1, start - 1, *range(start, len(steps) + 1)]
    assert len(after) < 20
    for step in (*before, *after):
        launch([f"{step},{step}"])

    for step in before:
        result = resume(app, str(step))
        assert result.status == 1
        assert "There is no launch in" in result.stderr
        assert f"\nNever launched: {step}/1-2. Launch these runs again." in result.stderr
        rows = listed(app, str(step))
        assert {status for status, _ in rows.values()} == {"NEVER_LAUNCHED"}
        command = rows["1"][1].partition("'mlxp ")[2].partition("'")[0]
        assert mlxp(app, *command.split(), "-y").status == 0
        assert not [path for path in (app.directory / str(step)).iterdir() if path.name.isdecimal()]
    app.call(app.python, "-c", "import main; main.resume_each()", env={"LAUNCHES": " ".join(map(str, after))})
    for step in after:
        wait_until(lambda step=step: "RUNNING" not in statuses(app, str(step)).values(), 400)  # type: ignore[misc]
    expected = {f"{step}-{x}": 1 for step in ("whole", *after) for x in range(2)}
    # A run is recorded before it starts: one that was killed in between counts as failed
    never_started = [name.split("-") for name in expected.keys() - ran(app).keys()]
    between = {"open:log.stdout", "open:log.stderr", *(step for step in steps if step.startswith("subprocess.Popen"))}
    assert {steps[int(step) - 1] for step, _ in never_started} <= between
    for step, x in never_started:
        assert statuses(app, step)[str(int(x) + 1)] == "FAILED"
        mlxp(app, "resubmit", str(int(x) + 1), "-d", step)
    assert ran(app) == expected


def test_a_damaged_record(app: App) -> None:
    """Each command reports it in one sentence, and changes nothing."""
    app.write_probe()
    app.sweep("x=1,2", *LOCAL)
    record = app.directory / "logs" / "1" / "metadata" / "info.yaml"
    record.write_text("status: {")
    forced = ["hydra/callbacks=mlxp_logging", "hydra.callbacks.mlxp_logging.forced_log_id=1"]
    for result, words in (
        (mlxp(app, "ls"), "DAMAGED"),
        (mlxp(app, "show", "1"), f"is DAMAGED: {record} is damaged"),
        (mlxp(app, "cancel", "1"), f"logs/1 had already finished: DAMAGED ({record} is damaged)\n"),
        (mlxp(app, "resubmit", "1"), f"logs/1 is not submitted: it is DAMAGED ({record} is damaged).\n"),
        (mlxp(app, "resubmit", "--failed"), f"logs/1 is not submitted: it is DAMAGED ({record} is damaged).\n"),
        (mlxp(app, "rerun", "1"), f"logs/1 cannot be started again: {record} is damaged.\n"),
        (resume(app), "Nothing to resume: all runs of 1 launch are submitted or started.\n"),
        (app.run(*forced), f"The record of a run is damaged: {record}. "),
        (app.run("-m", *LOCAL, *forced), f"The record of a run is damaged: {record}. "),
        (app.call("bash", "logs/1/script.sh"), f"The record of a run is damaged: {record}. "),
    ):
        assert words in result.text
        assert "Traceback" not in result.text
        assert record.read_text() == "status: {"
