"""The program around the application in a job that may start again, as a program of its own."""

from __future__ import annotations

import os
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
from mlxp_core.schedulers import OARScheduler, Scheduler
from tests.programs import App

pytestmark = pytest.mark.once
READY = "touch ready; "
LATE = "while :; do sleep 0.1; done"


class Run:
    """A run whose application is a shell line, and whose job starts again by `touch JOB`."""

    def __init__(self, directory: Path, line: str, *options: str, **kwargs: Any) -> None:
        self.directory = directory
        self.record = {"status": "RUNNING", "attempts": 1, "start_time": now()}
        self.info.write_text(yaml.dump(self.record))
        options = ("--command", "touch", "--job", "7", *options)
        words = ["--signal", "USR2", "--seconds", "1", "--requeues", "1", *options]
        place = ["--directory", str(directory), "--info", str(self.info), "--start", "0"]
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

    def tell(self, number: signal.Signals = signal.SIGUSR2, *, all_programs: bool = False) -> None:
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
    def is_asked_for(self) -> bool:
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
def test_as_without(tmp_path: Path, line: str, status: int, output: str, record: str) -> None:
    """Exit status, standard input, directory and signals are those of the application alone."""
    assert Run(tmp_path, line).end("given\n") == (status, output.format(tmp_path), record)


def test_ctrl_c_ends_it(tmp_path: Path) -> None:
    # Ready when Python has begun to heed signals
    run = Run(tmp_path, f"""exec {sys.executable} -c 'import time; open("ready", "w"); time.sleep(60)'""")
    run.tell(signal.SIGINT, all_programs=True)
    status, output, record = run.end()
    assert (status, record) == (130, "FAILED")
    assert "KeyboardInterrupt" in output or not output


def test_told(tmp_path: Path) -> None:
    """Also again and again, as OAR does."""
    run = Run(tmp_path, "trap 'echo told' USR2; " + READY + LATE)
    end = time.monotonic() + 120
    while run.process.poll() is None:
        assert time.monotonic() < end
        run.tell()
        time.sleep(0.3)
    status, output, record = run.end()
    assert (status, record) == (143, "STARTING")  # it went on, and was ended
    assert output.count("told\n") == 1
    assert "starts again (1 of 1)" in output
    assert run.is_asked_for
    assert run.read()["requeues"] == {"7": 1}


def test_cancelled_after_it_was_told(tmp_path: Path) -> None:
    run = Run(tmp_path, "trap : USR2; " + READY + LATE, "--seconds", "20")
    run.tell()
    run.tell(signal.SIGTERM, all_programs=True)
    assert run.end() == (143, "", "FAILED")
    assert not run.is_asked_for


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--command", "false"), "because 'false 7' failed"),
        (("--job", "by-hand"), "because it was started by hand"),
        (("--requeues", "0"), "because of hydra.launcher.max_requeues=0; submit script.sh again"),
    ],
)
def test_it_does_not_start_again(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    run = Run(tmp_path, READY + LATE, *options)
    run.tell()
    status, output, record = run.end()
    assert (status, record) == (140, "FAILED")
    assert message in output
    assert "requeues" not in run.read()
    assert "SIGUSR2 during the run" in run.read()["error"]["message"]


def test_runs_that_share_a_job(tmp_path: Path) -> None:
    """One that fails stops no other, one that completed is left out; and when they are told, no other starts."""
    lines = ["exit 3", "touch never", "echo out; kill -USR2 $PPID; sleep 5", "touch never"]
    for place, line in enumerate(lines):
        (tmp_path / str(place)).mkdir()
        (tmp_path / str(place) / "script.sh").write_text(line)
        status = "COMPLETE" if place == 1 else "RUNNING"
        (tmp_path / str(place) / "info.yaml").write_text(yaml.dump({"status": status, "start_time": now()}))
    words = ["--signal", "USR2", "--seconds", "9", "--requeues", "1", "--job", "7", "--command", "touch"]
    place_words = ["--directory", str(tmp_path), "--info", "info.yaml", "--shell", "sh", "--parallel", "1"]
    argv = [sys.executable, "-m", "mlxp_core.jobs.requeue_wrapper", *words, *place_words]
    assert subprocess.run(argv, cwd=tmp_path).returncode == 1
    records = [yaml.safe_load((tmp_path / str(place) / "info.yaml").read_text()) for place in range(4)]
    assert [record["status"] for record in records] == ["RUNNING", "COMPLETE", "STARTING", "STARTING"]
    assert [record.get("requeues") for record in records] == [None, None, {"7": 1}, {"7": 1}]
    assert (tmp_path / "2" / "log.stdout").read_text() == "out\n"
    for place in (2, 3):
        assert "starts again (1 of 1)" in (tmp_path / str(place) / "log.stderr").read_text()
    assert (tmp_path / "7").exists()
    assert not (tmp_path / "never").exists()


def test_who_cannot() -> None:
    class Other(Scheduler):
        title = "Other"

        def directives(self, job: Job) -> list[str]:
            return []

    assert Other(BatchOptions()).options.max_requeues == 0
    with pytest.raises(OptionError, match=r"Other cannot start a job again here: remove hydra\.launcher\.max_requeues"):
        Other(BatchOptions(max_requeues=1))
    with pytest.raises(OptionError, match=r"leave a job 60 s .* OAR needs more than 60 s: raise"):
        OARScheduler(OAROptions(max_requeues=1, timeout_min=2, requeue_signal_s=60))


def test_refused_options(app: App) -> None:
    """Before anything is written."""
    for options, message in (
        (["timeout_min=1"], "leave a job 0 s until it is told that its time is nearly over, and"),
        (["option_cmd=['--signal=B:USR1@60']"], "max_requeues asks for its own"),
        (["requeue_signal=KILL"], "hydra.launcher.requeue_signal must be USR1 or USR2, got KILL."),
        (["+additional_parameters={signal: x}"], "additional_parameters.signal and hydra.launcher.max_requeues do"),
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
