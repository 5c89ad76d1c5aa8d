"""Runs that another user may have written: their code is not executed, and their text does not control the terminal."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from mlxp_core.console import LogText, escaped
from tests.programs import LOGGING, App
from tests.support.cli import mlxp
from tests.terminals import Terminal

CLASS = """
import os
from pathlib import Path
from mlxp_core.schedulers import SLURMScheduler

Path(__file__).with_name(f"imported-{os.getpid()}").touch()


class Theirs(SLURMScheduler):
    submit_command = ("touch", str(Path(__file__).with_name("submitted")))
"""
# They are to change the title of a terminal, to clear it, and to fake a row of a table
HOSTILE = "\x1b]0;HACKED\x07\x1b[2J\x9b2J\u202e"
MAIN = """
import logging
import hydra

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    logging.getLogger("metrics.train").info({"loss" + HOSTILE: 0.5, "note": HOSTILE})
    print("\\x1b[32mgreen\\x1b[0m 1 %\\r100 %", HOSTILE)
    raise ValueError(HOSTILE + "\\n6  COMPLETE")

if __name__ == "__main__":
    main()
"""
RAW = re.compile(r"\x1b\]|\x1b\[2J|[\x07\x9b\u202e]")


def unfinished(app: App) -> Path:
    """Write a launch with a scheduler class beside the application, of which nothing is submitted; return plan.json."""
    app.write("theirs.py", CLASS)
    app.sweep("x=1,2", "hydra/launcher=slurm", "hydra.launcher.dry_run=true", LOGGING)
    (plan,) = app.directory.glob("logs/sweeps/*/launch-1/plan.json")
    text = plan.read_text().replace('"dry_run": true', '"dry_run": false')
    plan.write_text(text.replace("mlxp_core.schedulers.slurm.SLURMScheduler", "theirs.Theirs"))
    entries = [{"run": str(app.directory / f"logs/{run}"), "job_id": run, "scheduler": "Theirs", "launch": "launch-1",
                "at": "2026-11-23T03:31:43+00:00"} for run in "1"]  # fmt: skip
    (plan.parent.parent / "submissions.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return plan


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give files to another user")
@pytest.mark.parametrize("linked", [False, True])
def test_their_scheduler_class_is_not_loaded(app: App, linked: bool) -> None:
    plan = unfinished(app)
    if linked:  # the directory of the launch is this user's
        theirs = plan.parent.rename(app.directory / "shared")
        plan.parent.symlink_to(theirs)
        subprocess.run(["chown", "nobody", str(theirs / "plan.json")], check=True)
    else:
        subprocess.run(["chown", "-R", "nobody", str(app.directory)], check=True)
    for command in (["ls"], ["show", "1"], ["log", "1"], ["resume"], ["cancel", "1", "-y"], ["resubmit", "1", "-y"]):
        result = mlxp(app, *command)
        assert "Traceback" not in result.text, result.text
        assert not [*app.directory.glob("imported-*"), *app.directory.glob("submitted")], command
        if command == ["ls"]:
            assert (
                f"The scheduler class theirs.Theirs was not loaded: {plan} belongs to nobody. mlxp runs only classes "
                "from your own launches."
            ) in result.stderr
        if command == ["resume"]:
            assert result.status == 1
            assert result.stderr == (
                f"{plan} belongs to nobody, so its scheduler class theirs.Theirs was not loaded, and none of its runs "
                "was submitted. Only the owner can do this.\n"
            )
    if not linked:
        subprocess.run(["chown", "-R", "root", str(app.directory)], check=True)
        mlxp(app, "ls")
        assert [*app.directory.glob("imported-*")]


def test_text_of_runs_does_not_control_the_terminal(app: App) -> None:
    app.write("main.py", MAIN.replace("HOSTILE", repr(HOSTILE)))
    app.run("-m", LOGGING, f"+note='{HOSTILE}',b", "hydra/launcher=local")
    columns = "run,status,reason,overrides,metrics,note,train.note"
    program = str(Path(app.python).with_name("mlxp"))
    for command in (
        ["ls", "--columns", columns],
        ["ls", "--json"],
        ["ls", "--csv"],
        ["show", "1"],
        ["log", "1"],
        ["log", "1", "--err"],
        ["log", "1", "-f"],
        ["watch"],
        ["cancel", "1"],
        ["rerun", "1", "--help"],
    ):
        _, text = Terminal(app, *command, program=program).end()
        assert not RAW.search(text), (command, text)
        piped = mlxp(app, *command)
        if command[0] != "log" and "--csv" not in command:  # which are unchanged in a pipe
            assert not RAW.search(piped.text), (command, piped.text)
        if command == ["ls", "--json"]:
            assert json.loads(piped.stdout)[0]["overrides"] == [f"+note='{HOSTILE}'"]
        if command == ["log", "1"]:
            assert text == f"green 1 %\r100 % {escaped(HOSTILE).replace(escaped(chr(27)) + '[2J', '')}\n"
            assert piped.stdout.startswith("\x1b[32mgreen\x1b[0m 1 %")
            assert HOSTILE in piped.stdout
        if command[:2] == ["ls", "--columns"]:
            assert not re.search("(?m)^6  COMPLETE", text + piped.text)


def test_a_log_in_blocks() -> None:
    """Escape sequences and characters may begin in one block and end in the next."""
    data = "é\x1b[1;32mgreen\x1b[0m\x1b]0;x\x07 \x1b[K\x1b".encode()
    whole = "égreen\\x1b]0;x\\x07 "
    for cut in range(len(data)):
        text = LogText()
        assert text.add(data[:cut]) + text.add(data[cut:]) == whole


@pytest.mark.parametrize(("launcher", "is_written"), [("slurm", False), ("local", False), ("oar", True)])
def test_values_of_env_copy(app: App, launcher: str, is_written: bool) -> None:
    """They are in files only where a job does not see the environment otherwise."""
    app.sweep(
        "x=1,2",
        f"hydra/launcher={launcher}",
        "hydra.launcher.dry_run=true",
        "hydra.job.env_copy=[TOKEN]",
        LOGGING,
        env={"TOKEN": "s3cr3t"},
    )
    files = [path for path in (app.directory / "logs").rglob("*") if path.is_file()]
    holding = {path.name for path in files if b"s3cr3t" in path.read_bytes()} - {"multirun.yaml"}  # Hydra's own
    assert holding == ({"plan.json", "script.sh"} if is_written else set())
