"""hydra/launcher=local: the same scripts on this machine, several at a time, and their results."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import pexpect
import pytest

from mlxp_core.config.options import LocalOptions
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import write_info
from mlxp_core.schedulers.local import LocalScheduler
from tests.programs import PROBE, App, info
from tests.support.processes import wait_until
from tests.support.sweepers import RETURNS, VALUES

pytestmark = pytest.mark.hydra


def test_returns(app: App) -> None:
    """The results are what the runs returned or raised, and nothing made up."""
    app.write("hydra_plugins/showing/__init__.py", "")
    app.write("hydra_plugins/showing/sweeper.py", VALUES)
    app.write("main.py", RETURNS)
    app.write("conf/config.yaml", "what: value\n")
    whats = ["value", "mine", "function", "generator", "error", "key", "killed", "left", "late"]
    arguments = ["hydra/sweeper=showing", "hydra/launcher=local", f"+whats=[{','.join(whats)}]"]
    result = app.sweep(*arguments, env={"PYTHONPATH": str(app.directory)})
    lines = [line.split("|") for line in re.findall(r"^RETURN\|(.*)$", result.stdout, re.MULTILINE)]
    statuses = {what: line[0] for what, line in zip(whats, lines, strict=True)}
    values = {what: line[2] for what, line in zip(whats, lines, strict=True)}
    done = {"value", "mine", "function", "generator"}
    assert {what for what, status in statuses.items() if status == "COMPLETED"} == done
    assert values["value"] == "{'loss': 0.5}"
    assert values["mine"] == "Mine(number=3)"
    assert "lambda" in values["function"]
    assert values["generator"] == "None"
    assert values["key"] == "KeyError('absent')"
    assert "1 and 2" in values["error"]
    assert "ended by signal SIGKILL during the run" in values["killed"]
    assert "exit status 5 during the run" in values["left"]
    assert "exit status 6" in values["late"]
    assert lines[0][1:] == ["['what=value']", "{'loss': 0.5}", "main"]


def test_a_failed_run_fails_the_sweep(app: App) -> None:
    result = app.run("-m", "action=null,raise,exit2", "hydra/launcher=local")
    assert result.status == 1
    assert "2 of 3 runs failed; see:" in result.stdout
    assert "told to fail" in result.stderr
    assert sorted(info(run)["status"] for run in app.runs()) == ["COMPLETE", "FAILED", "FAILED"]


@pytest.mark.once
@pytest.mark.parametrize("n_jobs", [1, 3])
def test_n_jobs(app: App, n_jobs: int) -> None:
    # Concurrent runs wait for each other
    begun = f"{app.directory}/begun-"
    wait = f"touch {begun}$$; until [ $(ls {begun}* | wc -l) -ge {n_jobs} ]; do sleep 0.1; done"
    options = [f"hydra.launcher.n_jobs={n_jobs}", f"hydra.launcher.env_cmd='{wait}'"]
    app.sweep("x=1,2,3", "action=sleep3", "hydra/launcher=local", *options)
    spans = sorted((info(run)["start_time"], info(run)["end_time"]) for run in app.runs())
    overlapping = sum(spans[0][1] > span[0] for span in spans[1:])
    assert overlapping == n_jobs - 1


def test_default_is_the_cores_of_this_process(app: App) -> None:
    cores = len(os.sched_getaffinity(0))
    result = app.sweep("x=1", "hydra/launcher=local")
    assert result.stdout.startswith(f"1 run on this machine, {cores} at a time")


def test_environment_commands(app: App) -> None:
    app.sweep(
        "x=1",
        "hydra/launcher=local",
        "hydra.launcher.shell_config_cmd='export PROBE_ORDER=1'",
        "hydra.launcher.cleanup_cmd=['export PROBE_ORDER=\"$PROBE_ORDER\"2','false']",
        "hydra.launcher.env_cmd='export PROBE_ORDER=\"$PROBE_ORDER\"3'",
    )
    assert app.seen()[0]["environment"]["PROBE_ORDER"] == "123"


def test_gpus_are_not_hidden(app: App) -> None:
    """A run sees the GPUs that the launching process sees."""
    command = "hydra.launcher.env_cmd='export PROBE_GPUS=\"$CUDA_VISIBLE_DEVICES\"'"
    app.sweep("x=1", "hydra/launcher=local", command, env={"CUDA_VISIBLE_DEVICES": "2,3"})
    assert app.seen()[0]["environment"]["PROBE_GPUS"] == "2,3"


def test_dry_run(app: App) -> None:
    result = app.sweep("x=1,2", "hydra/launcher=local", "hydra.launcher.dry_run=true", "hydra/callbacks=mlxp_logging")
    assert "Dry run: 2 scripts written, nothing submitted" in result.stdout
    assert app.runs() == []
    scripts = sorted(app.directory.glob("logs/*/script.sh"))
    assert len(scripts) == 2
    assert info(scripts[0].parent)["status"] == "STARTING"
    assert app.call(str(scripts[0])).status == 0
    assert info(scripts[0].parent)["status"] == "COMPLETE"


def test_a_run_that_never_starts(app: App) -> None:
    """The program contains an error when the job starts."""
    app.sweep("x=1", "hydra/launcher=local", "hydra.launcher.dry_run=true", "hydra/callbacks=mlxp_logging")
    app.write("main.py", "this is not Python")
    assert app.call("bash", "logs/1/script.sh").status == 1
    record = info(app.directory / "logs" / "1")
    assert record["status"] == "FAILED"
    assert record["error"]["message"] == "exit status 1 before the run started (see log.stderr)"


def test_the_directory_of_the_application_was_moved(app: App) -> None:
    logs = app.directory.parent / "elsewhere"
    logging = ["hydra/callbacks=mlxp_logging", f"hydra.callbacks.mlxp_logging.parent_log_dir={logs}"]
    app.sweep("x=1", "hydra/launcher=local", "hydra.launcher.dry_run=true", *logging)
    app.directory.rename(app.directory.with_name("moved"))
    assert subprocess.run(["bash", str(logs / "1" / "script.sh")], capture_output=True).returncode != 0
    assert info(logs / "1")["status"] == "FAILED"


def test_terminal(app: App) -> None:
    """On a terminal there is a progress bar, and Ctrl-C also terminates the runs."""
    command = ["-m", "x=1,2,3", "hydra/launcher=local", "hydra.launcher.n_jobs=1", "hydra/callbacks=mlxp_logging"]
    child = pexpect.spawn(app.python, ["main.py", *command], cwd=str(app.directory), timeout=180, encoding="utf-8")
    child.expect(pexpect.EOF)
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", child.before or "")
    assert "3/3" in plain
    assert "COMPLETE  logs/1  x=1" in plain

    child = pexpect.spawn(app.python, ["main.py", *command, "action=sleep600"], cwd=str(app.directory), timeout=180)
    run = app.directory / "logs" / "4"
    end = time.monotonic() + 120
    while not (run / "seen.json").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    child.sendintr()
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus != 0 or child.signalstatus == signal.SIGINT
    end = time.monotonic() + 120
    while info(run)["status"] == "RUNNING":
        assert time.monotonic() < end, "the run was not terminated"
        time.sleep(0.1)
    assert info(run)["status"] == "FAILED"
    assert not (app.directory / "logs" / "5" / "seen.json").exists()


@pytest.mark.once
@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("when", ["environment", "application"])
def test_signals(app: App, shell: str, number: signal.Signals, when: str) -> None:
    """A signal before the application starts prevents the start, and the record names the signal."""
    before = when == "environment"
    options = [f"hydra.launcher.env_cmd='touch {app.directory}/started; sleep 300'"] if before else ["action=sleep600"]
    app.sweep("hydra/launcher=local", "hydra.launcher.dry_run=true", f"hydra.launcher.shell_path={shell}", *options)
    (script,) = app.directory.rglob("script.sh")
    process = subprocess.Popen([shell, str(script)], start_new_session=True, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not (app.directory / "started" if before else script.parent / "seen.json").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    os.killpg(process.pid, number)
    assert process.wait(timeout=180) in (128 + number, 1)  # Python exits with 1 after an uncaught KeyboardInterrupt
    record = info(script.parent)
    assert record["status"] == "FAILED"
    assert (script.parent / "seen.json").exists() != before
    if before:
        assert record["error"]["message"] == f"ended by signal {number.name} before the run started (see log.stderr)"


@pytest.mark.once
def test_an_earlier_record_does_not_count(app: App) -> None:
    """The scripts run again, after their program was removed; a completed run stays completed."""
    app.run("-m", "action=null,raise", "hydra/launcher=local", "hydra/callbacks=mlxp_logging")
    runs = [app.directory / "logs" / name for name in "12"]
    complete = info(runs[0])
    assert (complete["status"], info(runs[1])["status"]) == ("COMPLETE", "FAILED")
    (app.directory / "main.py").unlink()
    for run in runs:
        app.call("bash", str(run / "script.sh"))
    assert info(runs[0]) == complete
    record = info(runs[1])
    assert record["status"] == "FAILED"
    assert record["error"]["message"] == "exit status 2 before the run started (see log.stderr)"
    assert record["start_time"] is None
    assert len(record["starts"]) == 2


@pytest.mark.once
def test_two_sweeps_in_one_directory(app: App) -> None:
    arguments = ["main.py", "-m", "hydra/launcher=local", "hydra.sweep.dir=res", "hydra.sweep.subdir=${x}"]
    processes = [
        subprocess.Popen([app.python, *arguments, f"x={xs}", "action=sleep1"], cwd=app.directory)
        for xs in ("1,2,3,4", "5")
    ]
    assert [process.wait(timeout=180) for process in processes] == [0, 0]
    assert len(app.runs()) == 5
    assert {path.name for path in (app.directory / "res").iterdir()} == {
        *("1", "2", "3", "4", "5"),
        *("launch-1", "launch-2", "multirun.yaml", "submissions.jsonl"),
    }


# The probe, whose launcher waits for the file "go" before it writes the files of its runs
STOPPED = """
import time
from pathlib import Path
from mlxp_core.launch.run_files import RunFiles

def write(*arguments, before=RunFiles.write):
    Path("planned").touch()
    while not Path("go").exists():
        time.sleep(0.05)
    before(*arguments)

RunFiles.write = write
"""


@pytest.mark.once
def test_one_directory_twice_at_once(app: App) -> None:
    """Of two launches with the same forced_log_id, the second is refused before the first has written a record."""
    app.write("main.py", STOPPED + PROBE)
    words = ["hydra/callbacks=mlxp_logging", "hydra.callbacks.mlxp_logging.forced_log_id=5", "x=1"]
    process = app.start(app.python, "main.py", "-m", "hydra/launcher=local", *words)
    wait_until((app.directory / "planned").exists)
    for launch in (["-m", "hydra/launcher=local"], []):
        result = app.run(*launch, *words)
        assert result.status == 1
        owner = f"process {process.pid} on {os.uname().nodename}"
        assert result.stderr.startswith(f"The run in {app.directory}/logs/5 is being launched by {owner}, and ")
    app.write("go", "")
    process.communicate(timeout=400)
    assert process.returncode == 0
    assert info(app.directory / "logs" / "5")["attempts"] == 1
    app.sweep("hydra/launcher=local", *words)
    assert info(app.directory / "logs" / "5")["attempts"] == 2
    assert not (app.directory / "logs" / ".5.lock").exists()


@pytest.mark.once
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_interrupted(app: App, number: signal.Signals) -> None:
    """Runs that did not start leave no files, and the message names them."""
    arguments = ["-m", "x=1,2,3", "action=sleep600", "hydra/launcher=local", "hydra.launcher.n_jobs=1"]
    process = subprocess.Popen(
        [app.python, "main.py", *arguments, "hydra/callbacks=mlxp_logging"],
        cwd=app.directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    end = time.monotonic() + 120
    while not (app.directory / "logs" / "1" / "seen.json").exists():
        assert time.monotonic() < end
        time.sleep(0.1)
    os.killpg(process.pid, number)  # as a terminal does
    _, stderr = process.communicate(timeout=900)
    assert process.returncode == 1
    assert "Interrupted: 0 of 3 runs had finished." in stderr
    assert "Not started; launch these again: x=2 action=sleep600; x=3 action=sleep600" in stderr
    assert "Traceback" not in stderr
    assert [path.name for path in (app.directory / "logs").iterdir() if path.name.isdecimal()] == ["1"]
    while info(app.directory / "logs" / "1")["status"] == "RUNNING":
        assert time.monotonic() < end
        time.sleep(0.1)
    assert info(app.directory / "logs" / "1")["status"] == "FAILED"


def processes_below(directory: Path) -> list[str]:
    """The command lines of the live processes that belong to runs in a directory."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            if str(directory).encode() in words and int(entry.name) != os.getpid():
                found.append((entry / "cmdline").read_text())
        except OSError:  # it has just ended
            continue
    return found


@pytest.mark.once
@pytest.mark.parametrize("seed", range(5))
def test_interrupted_in_the_first_second(app: App, seed: int) -> None:
    """No process of a run survives, and each run has ended or has left nothing, as the message says."""
    random.seed(seed)
    arguments = ["-m", "x=1,2,3,4,5,6", "action=sleep600", "hydra/launcher=local", "hydra.launcher.n_jobs=3"]
    process = app.start(app.python, "-u", "main.py", *arguments, "hydra/callbacks=mlxp_logging")
    assert process.stdout is not None
    assert process.stdout.readline() == "6 runs on this machine, 3 at a time\n"
    time.sleep(random.random())
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=900)
    assert processes_below(app.directory) == []
    left = sorted(path for path in (app.directory / "logs").iterdir() if path.name.isdecimal())
    assert [info(run)["status"] for run in left] == ["FAILED"] * len(left)
    assert "Interrupted: 0 of 6 runs had finished. The running ones were stopped.\n" in stderr
    assert [f"x={x} " in stderr for x in range(1, 7)] == [x > len(left) for x in range(1, 7)]


def test_a_script_that_cannot_be_started(tmp_path: Path) -> None:
    """The other runs are not affected."""
    runs = [RunDirectory(tmp_path / name, "metadata") for name in "12"]
    for run in runs:
        write_info(run.info, {"status": "STARTING", "start_time": None})
    runs[1].stdout.mkdir()
    runs[0].script.write_text("exit 3")
    assert dict(LocalScheduler(LocalOptions(shell_path="/bin/sh")).run(runs)) == {0: 3, 1: 127}
    assert info(runs[1].path)["error"]["message"] == "exit status 127 before the run started (see log.stderr)"
    assert "cannot be started: [Errno 21] Is a directory" in runs[1].stderr.read_text()


def test_exit_status_0(app: App) -> None:
    result = app.sweep("action=exit0", "hydra/launcher=local")
    assert "1/1  COMPLETE" in result.stdout
    assert info(app.runs()[0])["status"] == "COMPLETE"


def test_environment_commands_that_exit(app: App) -> None:
    """Environment commands that end the script before the application starts make the run fail."""
    result = app.run("-m", "x=1", "hydra/launcher=local", "hydra.launcher.env_cmd='exit 0'")
    assert result.status == 1
    (record,) = [info(path.parent) for path in app.directory.rglob("script.sh")]
    assert record["status"] == "FAILED"
    assert record["error"]["message"] == "exit status 0 before the run started (see log.stderr)"


@pytest.mark.once
def test_closed_output(app: App) -> None:
    """The launch continues when the reader of its output has ended."""
    command = f"{app.python} -u main.py -m x=1,2,3 hydra/launcher=local hydra.launcher.n_jobs=1 | head -c 1"
    assert app.call("bash", "-o", "pipefail", "-c", command).status == 0
    assert len(app.runs()) == 3
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    app.sweep("x='é'", "hydra/launcher=local", env=ascii_only)
