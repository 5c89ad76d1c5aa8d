"""Real schedulers on this machine: SLURM and OAR, brought up by the scripts in this directory.

They need root on Debian (packages are installed). Elsewhere the tests that need them are skipped, with the reason; on
CI that is a failure.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.programs import App

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
# A place that every user can read; root's home is none. Two test runs at once want one each
ENVIRONMENTS = Path(os.environ.get("TEST_ENVIRONMENTS", "/var/tmp/hydra-mlxp-tests"))


@dataclass(frozen=True)
class Cluster:
    """One scheduler, its user, and a Python with this package that its jobs can run."""

    launcher: str
    user: str
    python: str

    def app(self, name: str) -> App:
        """An empty directory in the user's home, for an application to start there."""
        directory = Path(f"/home/{self.user}") / re.sub(r"\W+", "-", name)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        environment = {
            "HOME": f"/home/{self.user}",
            "USER": self.user,
            "LOGNAME": self.user,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
        }
        app = App(directory, self.python, environment, self.user)
        app.give()
        return app

    def example(self, name: str) -> App:
        """The example application, in the user's home."""
        app = self.app(name)
        shutil.copytree(
            REPOSITORY / "example_app",
            app.directory,
            dirs_exist_ok=True,
            ignore=shutil.ignore_patterns("logs", "__py*"),
        )
        app.give()
        return app

    def job_ids(self, app: App) -> list[str]:
        """The ids of all jobs that the application submitted, from the sweeps' own records."""
        lines = [line for file in app.directory.rglob("submissions.jsonl") for line in file.read_text().splitlines()]
        return sorted((json.loads(line)["job_id"] for line in lines), key=lambda job: [*map(int, job.split("_"))])

    # OAR starts about a job a second, and another test may have many
    def wait(self, job_ids: Sequence[str], timeout_s: float = 400) -> list[str]:
        """Wait until jobs are over; return what the scheduler says of each: COMPLETED or FAILED."""
        end = time.monotonic() + timeout_s
        while True:
            states = self.states(job_ids)
            if all(state in ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT") for state in states):
                return states
            assert time.monotonic() < end, f"still {states}"
            time.sleep(0.3)

    def cancel(self, job_ids: Sequence[str]) -> None:
        """End jobs."""
        command = {"slurm": "scancel", "oar": "oardel"}[self.launcher]
        subprocess.run([command, *dict.fromkeys(job_ids)], check=True, capture_output=True)

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 400) -> None:
        """Wait until something is so."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.2)

    def wait_for_runs(self, app: App, number: int) -> None:
        """Wait until so many runs of the probe have begun."""
        self.wait_for(lambda: len(app.runs()) == number)

    def states(self, job_ids: Sequence[str]) -> list[str]:
        """The scheduler's own words for each job, those of OAR in SLURM's terms."""
        return [self._slurm_state(job) if self.launcher == "slurm" else self._oar_state(job) for job in job_ids]

    def _slurm_state(self, job_id: str) -> str:
        answer = _output("scontrol", "show", "job", job_id)
        return str(re.findall(r"JobState=(\w+)", answer)[0])

    def _oar_state(self, job_id: str) -> str:
        try:
            job: dict[str, Any] = json.loads(_output("oarstat", "-fJ", "-j", job_id))[job_id]
        except subprocess.CalledProcessError:  # now and then oarstat dies, of a job that changes its state meanwhile
            return "UNKNOWN"
        if job["state"] == "Terminated":
            return "COMPLETED" if job["exit_code"] == 0 else "FAILED"
        return "FAILED" if job["state"] == "Error" else str(job["state"])

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let submitted jobs wait until the end of the block."""
        hold, release = {
            "slurm": [["scontrol", "update", "partitionname=main", f"state={state}"] for state in ("down", "up")],
            "oar": [["oarnotify", option] for option in ("--Disable-all-queues", "--Enable-all-queues")],
        }[self.launcher]
        subprocess.run(hold, check=True, capture_output=True)
        try:
            yield
        finally:
            subprocess.run(release, check=True, capture_output=True)

    def sweep(self, app: App, *arguments: str) -> list[str]:
        """Sweep on this scheduler, wait for the jobs and return their states."""
        app.sweep(f"hydra/launcher={self.launcher}", *arguments)
        return self.wait(self.job_ids(app))


def _output(*argv: str) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout


_current: dict[str, str] = {}


def start(name: str, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """Bring a scheduler up, in the form asked for, and make sure that its user can run this package."""
    if os.getuid() != 0 or not Path("/etc/debian_version").exists():
        reason = "a real scheduler is brought up by root on Debian"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    launcher = name.partition("-")[0]
    if _current.get(launcher) != name:
        environment = {**os.environ, "SLURM_ACCOUNTING": "no" if name == "slurm-no-accounting" else "yes"}
        script = HERE / f"{launcher}-up.sh"
        done = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        _current[launcher] = name
    return Cluster(launcher, {"slurm": "slurmtest", "oar": "oaruser"}[launcher], cluster_python())


@cache
def cluster_python() -> str:
    """A Python that every user can run, with this package, the example's and this environment's Hydra in it."""
    directory = ENVIRONMENTS / f"hydra-{version('hydra-core')}"
    ENVIRONMENTS.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w+") as lock:
        # One of several processes that test at the same time makes it
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = directory.with_name(f"{directory.name}.made")
        run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
        if not made.exists() or made.read_text() != run:
            _make_cluster_python(directory)
            made.write_text(run)
    return str(directory / "bin" / "python")


def _make_cluster_python(directory: Path) -> None:
    pins = [f"{name}=={version(name)}" for name in ("hydra-core", "omegaconf", "submitit", "numpy", "scikit-learn")]
    pins += ["hydra-optuna-sweeper", "hydra-zen", "pytest"]
    # setuptools builds in the source tree: from a copy, so that nothing is left in this one
    source = directory.with_name(f"{directory.name}-source")
    shutil.rmtree(source, ignore_errors=True)
    ignore = shutil.ignore_patterns(".*", "build", "*.egg-info", "logs", "__pycache__")
    shutil.copytree(REPOSITORY, source, ignore=ignore)
    make_venv = [str(HERE.parent / "make-venv"), "/usr/bin/python3", str(directory)]
    subprocess.run([*make_venv, *pins, f"{source}[example]"], check=True)
    subprocess.run([*make_venv, "--force-reinstall", "--no-deps", str(source)], check=True)


@contextmanager
def service(name: str) -> Iterator[None]:
    """Stop a scheduler's daemon, and start it again at the end."""
    launcher = "slurm" if name.startswith("slurm") else "oar"
    if name == "postgres":
        cluster = Path("/run/oar-test/postgres").read_text().split()
        subprocess.run(["pg_ctlcluster", *cluster, "stop", "--mode", "fast"], check=True, capture_output=True)
    else:
        subprocess.run(["pkill", "-TERM", "-f", f"(^|/){name}( |$)"], check=True)
        while subprocess.run(["pgrep", "-f", f"(^|/){name}( |$)"], capture_output=True).returncode == 0:
            time.sleep(0.1)
    try:
        yield
    finally:
        accounting = "no" if _current.get(launcher) == "slurm-no-accounting" else "yes"
        environment = {**os.environ, "SLURM_ACCOUNTING": accounting}
        done = subprocess.run(
            ["bash", str(HERE / f"{launcher}-up.sh")], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
