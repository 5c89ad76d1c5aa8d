"""The program around the application in jobs that can be requeued."""

from __future__ import annotations

import os
import resource
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlxp_core.config.options import BatchOptions, OAROptions
from mlxp_core.errors import OptionError
from mlxp_core.jobs.script import Job
from mlxp_core.runs.info import now
from mlxp_core.runs.starts import this_process
from mlxp_core.schedulers import OARScheduler, Scheduler
from tests.programs import App

pytestmark = pytest.mark.once
READY = "touch ready; "
LATE = "while :; do sleep 0.1; done"


def running(start: str) -> dict[str, Any]:
    """Return the record of a run that the start with this id began."""
    return {
        "status": "RUNNING",
        "attempts": 1,
        "start_time": now(),
        "starts": [{"id": start, "job_id": None, **this_process()}],
    }


class Run:
    """A run whose application is a shell line, and whose job is requeued by `touch JOB`."""

    def __init__(self, directory: Path, line: str, *options: str, **kwargs: Any) -> None:
        self.directory = directory
        self.record = running("1-1")
        self.info.write_text(yaml.dump(self.record))
        options = ("--command", "touch", "--job", "7", *options)
        words = ["--signal", "USR2", "--grace-s", "1", "--max-requeues", "1", *options]
        place = ["--directory", str(directory), "--info", str(self.info), "--start", "1-1"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlxp_core.jobs.requeue_wrapper", *words, *place, "--", "sh", "-c", line],
            start_new_session=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **kwargs,
        )

    @property
    def info(self) -> Path:
        return self.directory / "info.yaml"

    def notify(self, number: signal.Signals = signal.SIGUSR2, *, all_programs: bool = False) -> None:
        end = time.monotonic() + 120
        while not (self.directory / "ready").exists():
            assert time.monotonic() < end
            time.sleep(0.05)
        (os.killpg if all_programs else os.kill)(self.process.pid, number)

    def end(self, given: str = "") -> tuple[int, str, str]:
        """Its exit status, its output and its record's status."""
        stdout, stderr = self.process.communicate(given, timeout=180)
        return self.process.returncode, stdout + stderr, self.read()["status"]

    def read(self) -> dict[str, Any]:
        record: dict[str, Any] = yaml.safe_load(self.info.read_text())
        return record

    @property
    def is_requeued(self) -> bool:
        return (self.directory / "7").exists()


@pytest.mark.parametrize(
    ("line", "status", "output", "record"),
    [
        ("exit 3", 3, "", "FAILED"),
        ("kill -9 $$", 137, "", "FAILED"),
        ("cat; pwd; tr '\\0' '\\n' < /proc/$$/environ | grep ^PWD=", 0, "given\n{0}\nPWD={0}\n", "COMPLETE"),
        ("yes | head -n 1", 0, "y\n", "COMPLETE"),  # without an error of `yes`, which a signal ends
    ],
)
def test_the_wrapper_is_invisible(tmp_path: Path, line: str, status: int, output: str, record: str) -> None:
    """Exit status, standard input, directory and signals are the application's."""
    assert Run(tmp_path, line).end("given\n") == (status, output.format(tmp_path), record)


def test_a_full_disk(tmp_path: Path) -> None:
    """The job has the application's exit status, though the record cannot be written."""

    def fill() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))

    status, output, record = Run(tmp_path, "exit 0", preexec_fn=fill).end()
    assert (status, record) == (0, "RUNNING")
    assert output.startswith("mlxp: The end of the run cannot be recorded. Cannot write /")
    assert "Traceback" not in output


SIGNAL_DURING_A_START = """
import os, signal, sys, time
from pathlib import Path
from mlxp_core.jobs import child_programs

def start(argv, log):
    pid = start_program(argv, log)
    if argv[-1] == "second":  # the signal comes when it runs, but is not yet known to run
        while not Path("ready").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGUSR2)
        time.sleep(0.5)
    return pid

start_program, child_programs.start_program = child_programs.start_program, start
saves = '''
import os, signal, time
signal.signal(signal.SIGUSR2, lambda *_: open("notified", "a").write("notified "))
open("ready", "w")
end = time.monotonic() + 60
while not os.path.exists("notified") and time.monotonic() < end:
    time.sleep(0.05)
time.sleep(1)
'''
programs = [
    child_programs.ChildProgram([sys.executable, "-c", code, name], Path("info.yaml"))
    for code, name in ((saves, "first"), ("import time; time.sleep(60)", "second"))
]
child_programs.ChildPrograms(
    programs, 2, signal_name="USR2", grace_s=30, final_signal=signal.SIGTERM, kill_grace_s=5).run()
print([program.exit_status for program in programs])
"""


def test_a_signal_while_a_program_starts(tmp_path: Path) -> None:
    """A program that already runs gets it once: a second signal could end it while it saves its work."""
    argv = [sys.executable, "-c", SIGNAL_DURING_A_START]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=180)
    assert done.stdout == "[0, 140]\n", done.stderr
    assert (tmp_path / "notified").read_text() == "notified "


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    # Ready when Python handles signals
    run = Run(tmp_path, f"""exec {sys.executable} -c 'import time; open("ready", "w"); time.sleep(60)'""")
    run.notify(signal.SIGINT, all_programs=True)
    status, output, record = run.end()
    assert (status, record) == (130, "FAILED")
    assert "KeyboardInterrupt" in output or not output


def test_notified(tmp_path: Path) -> None:
    """The signal is passed on once, even if it is repeated, as OAR does."""
    run = Run(tmp_path, "trap 'echo notified' USR2; " + READY + LATE)
    end = time.monotonic() + 120
    while run.process.poll() is None:
        assert time.monotonic() < end
        run.notify()
        time.sleep(0.3)
    status, output, record = run.end()
    assert (status, record) == (143, "STARTING")  # it continued, and was terminated
    assert output.count("notified\n") == 1
    assert "is requeued (1 of 1)" in output
    assert run.is_requeued
    assert run.read()["requeues"] == {"7": 1}


def test_cancelled_after_the_signal(tmp_path: Path) -> None:
    run = Run(tmp_path, "trap : USR2; " + READY + LATE, "--grace-s", "20")
    run.notify()
    run.notify(signal.SIGTERM, all_programs=True)
    assert run.end() == (143, "", "FAILED")
    assert not run.is_requeued


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--command", "false"), "its job is not requeued: 'false 7' failed"),
        (("--job", "by-hand"), "its job is not requeued: it was started by hand"),
        (
            ("--max-requeues", "0"),
            "its job is not requeued: hydra.launcher.max_requeues=0 is reached; submit script.sh again",
        ),
    ],
)
def test_it_is_not_requeued(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    run = Run(tmp_path, READY + LATE, *options)
    run.notify()
    status, output, record = run.end()
    assert (status, record) == (140, "FAILED")
    assert message in output
    assert "requeues" not in run.read()
    assert "SIGUSR2 during the run" in run.read()["error"]["message"]


def test_runs_that_share_a_job(tmp_path: Path) -> None:
    """A failed run does not stop the others, a completed one is skipped, and none starts after the signal."""
    lines = ["exit 3", "touch never", "echo out; kill -USR2 $PPID; sleep 5", "touch never"]
    for place, line in enumerate(lines):
        (tmp_path / str(place)).mkdir()
        (tmp_path / str(place) / "script.sh").write_text(line)
        status = "COMPLETE" if place == 1 else "RUNNING"
        (tmp_path / str(place) / "info.yaml").write_text(yaml.dump({"status": status, "start_time": now()}))
    words = ["--signal", "USR2", "--grace-s", "9", "--max-requeues", "1", "--job", "7", "--command", "touch"]
    place_words = ["--directory", str(tmp_path), "--info", "info.yaml", "--shell", "sh", "--parallel", "1"]
    argv = [sys.executable, "-m", "mlxp_core.jobs.requeue_wrapper", *words, *place_words]
    assert subprocess.run(argv, cwd=tmp_path).returncode == 1
    records = [yaml.safe_load((tmp_path / str(place) / "info.yaml").read_text()) for place in range(4)]
    assert [record["status"] for record in records] == ["RUNNING", "COMPLETE", "STARTING", "STARTING"]
    assert [record.get("requeues") for record in records] == [None, None, {"7": 1}, {"7": 1}]
    assert (tmp_path / "2" / "log.stdout").read_text() == "out\n"
    for place in (2, 3):
        assert "is requeued (1 of 1)" in (tmp_path / str(place) / "log.stderr").read_text()
    assert (tmp_path / "7").exists()
    assert not (tmp_path / "never").exists()


@pytest.mark.parametrize(("limit", "status"), [(1, "STARTING"), (0, "FAILED")])
def test_the_end_of_a_run_that_shares_a_job(tmp_path: Path, limit: int, status: str) -> None:
    """An interrupted run is not recorded as FAILED while its job may still be requeued."""
    lines = ["trap 'exit 3' USR2; touch ready; while :; do sleep 0.1; done", "trap '' USR2; touch up; sleep 8"]
    common = ["--signal", "USR2", "--grace-s", "30", "--max-requeues", str(limit), "--job", "7", "--command", "touch"]
    wrapper = [sys.executable, "-m", "mlxp_core.jobs.requeue_wrapper", *common]
    for place, line in enumerate(lines):
        run = tmp_path / str(place)
        run.mkdir()
        (run / "info.yaml").write_text(yaml.dump(running("1-1")))
        one = ["--directory", str(run), "--info", str(run / "info.yaml"), "--start", "1-PID", "--", "sh", "-c", line]
        # The start has the process id of the script, as a script names it
        start = f"sed -i s/1-1/1-$$/ {run / 'info.yaml'}"
        (run / "script.sh").write_text(f"{start}; exec {shlex.join([*wrapper, *one])}".replace("1-PID", "1-$$"))
    argv = [*wrapper, "--directory", str(tmp_path), "--info", "info.yaml", "--shell", "sh", "--parallel", "2"]
    process = subprocess.Popen(argv, cwd=tmp_path)
    end = time.monotonic() + 120
    while not ((tmp_path / "0/ready").exists() and (tmp_path / "1/up").exists()):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGUSR2)
    seen = set()
    while process.poll() is None:
        seen.add(yaml.safe_load((tmp_path / "0/info.yaml").read_text())["status"])
        assert time.monotonic() < end
        time.sleep(0.02)
    record = yaml.safe_load((tmp_path / "0/info.yaml").read_text())
    assert (process.returncode, record["status"]) == (1, status)
    assert "RUNNING" in seen
    assert record.get("exit_status") == (3 if status == "FAILED" else None)
    if status == "STARTING":
        assert "FAILED" not in seen
    assert yaml.safe_load((tmp_path / "1/info.yaml").read_text())["status"] == "COMPLETE"


def test_schedulers_that_cannot_requeue() -> None:
    class Other(Scheduler):
        title = "Other"

        def directives(self, job: Job) -> list[str]:
            return []

    assert Other(BatchOptions()).options.max_requeues == 0
    with pytest.raises(OptionError, match=r"Other cannot requeue jobs here: remove hydra\.launcher\.max_requeues"):
        Other(BatchOptions(max_requeues=1))
    with pytest.raises(OptionError, match=r"give a job 60 s .* OAR needs more than 60 s: raise"):
        OARScheduler(OAROptions(max_requeues=1, timeout_min=2, requeue_signal_s=60))


def test_refused_options(app: App) -> None:
    """Before anything is written."""
    for options, message in (
        (["timeout_min=1"], "give a job 0 s before the signal, and"),
        (["option_cmd=['--signal=B:USR1@60']"], "max_requeues adds its own"),
        (["requeue_signal=KILL"], "hydra.launcher.requeue_signal must be USR1 or USR2, got KILL."),
        (
            ["+additional_parameters={signal: x}"],
            "additional_parameters.signal cannot be combined with hydra.launcher.max_requeues",
        ),
    ):
        words = [
            f"hydra.launcher.{option}" if option[0] != "+" else f"+hydra.launcher.{option[1:]}" for option in options
        ]
        common = ["hydra/launcher=slurm", "hydra.launcher.dry_run=true", "hydra.launcher.max_requeues=2"]
        result = app.run("-m", "x=1,2", *common, *words)
        assert result.status == 1
        assert message in result.stderr
        assert "Traceback" not in result.stderr
        assert not (app.directory / "multirun").exists()
