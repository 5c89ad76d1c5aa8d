"""Real schedulers on this machine: SLURM and OAR, brought up by the scripts in this directory.

They need root on Debian (packages are installed). Elsewhere the tests that need them are skipped, with the reason; on
CI that is a failure. All processes of a test run share one SLURM and one OAR; who stops a controller has a SLURM of its
own (`tests.clusters.own_slurm`), who stops OAR keeps all other tests from it meanwhile.
"""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import re
import shutil
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from tests.programs import App
from tests.support import warm_start

HERE = Path(__file__).parent
REPOSITORY = HERE.parent.parent
# A place that every user can read; root's home is none. Each checkout has its own
ENVIRONMENTS = Path(f"/var/tmp/hydra-mlxp-tests-{zlib.crc32(os.fsencode(REPOSITORY)):08x}")
# Held by the tests of all checkouts on this machine
_LOCKS = Path("/run/lock")


@dataclass(frozen=True)
class Cluster:
    """One scheduler, its user, a Python with this package that its jobs can run, and what its programs read."""

    launcher: str
    user: str
    python: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def app(self, name: str) -> App:
        """An empty directory in the user's home, for an application to start there; each process has its own."""
        directory = Path(f"/home/{self.user}/tests-{os.getpid()}") / re.sub(r"\W+", "-", name)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        environment = {
            "HOME": f"/home/{self.user}",
            "USER": self.user,
            "LOGNAME": self.user,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            **self.environment,
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
    def wait(self, job_ids: Sequence[str], timeout_s: float = 900) -> list[str]:
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
        self.output(command, *dict.fromkeys(job_ids))

    def submit(self, app: App, script: str, *, hold: bool = False) -> str:
        """Submit a script by hand, as a user would in the application's directory; return the id of the job."""
        if self.launcher == "slurm":
            answer = app.call("sbatch", *(["--hold"] if hold else []), script).stdout
            return str(re.findall(r"Submitted batch job (\d+)", answer)[0])
        answer = app.call("oarsub", *(["--hold"] if hold else []), "-S", script).stdout
        return str(re.findall(r"OAR_JOB_ID=(\d+)", answer)[0])

    def output(self, *argv: str) -> str:
        """What one of the scheduler's programs prints, for root."""
        environment = {**os.environ, **self.environment}
        return subprocess.run(argv, check=True, capture_output=True, text=True, env=environment).stdout

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 900) -> None:
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
        answer = self.output("scontrol", "show", "job", job_id)
        return str(re.findall(r"JobState=(\w+)", answer)[0])

    def _oar_state(self, job_id: str) -> str:
        try:
            job: dict[str, Any] = json.loads(self.output("oarstat", "-fJ", "-j", job_id))[job_id]
        except subprocess.CalledProcessError:  # now and then oarstat dies, of a job that changes its state meanwhile
            return "UNKNOWN"
        if job["state"] == "Terminated":
            return "COMPLETED" if job["exit_code"] == 0 else "FAILED"
        return "FAILED" if job["state"] == "Error" else str(job["state"])

    @contextmanager
    def held(self) -> Iterator[str]:
        """A partition or queue whose jobs wait until the end of the block, as an option of a launch."""
        name = f"held{os.getpid()}"
        _make_place_to_wait(self.launcher, name)
        hold, release = {
            "slurm": [["scontrol", "update", f"partitionname={name}", f"state={state}"] for state in ("down", "up")],
            "oar": [["oarnotify", option, name] for option in ("--disable-queue", "--enable-queue")],
        }[self.launcher]
        self.output(*hold)
        try:
            yield f"hydra.launcher.{ {'slurm': 'partition', 'oar': 'queue'}[self.launcher] }={name}"
        finally:
            self.output(*release)

    def sweep(self, app: App, *arguments: str) -> list[str]:
        """Sweep on this scheduler, wait for the jobs and return their states."""
        app.sweep(f"hydra/launcher={self.launcher}", *arguments)
        return self.wait(self.job_ids(app))


@cache
def _make_place_to_wait(launcher: str, name: str) -> None:
    """Make a partition or queue for this process, until its end."""
    make, remove = {
        "slurm": (
            ["scontrol", "create", f"partitionname={name}", "nodes=ALL", "state=down"],
            ["scontrol", "delete", f"partitionname={name}"],
        ),
        "oar": (
            ["oarnotify", "--add-queue", f"{name},3,oar_sched_gantt_with_timesharing_and_fairsharing"],
            ["oarnotify", "--remove-queue", name],
        ),
    }[launcher]
    subprocess.run(make, check=True, capture_output=True)
    atexit.register(subprocess.run, remove, capture_output=True)


@cache
def start(launcher: str) -> Cluster:
    """Bring a scheduler up, and make sure that its user can run this package."""
    if os.getuid() != 0 or not Path("/etc/debian_version").exists():
        reason = "a real scheduler is brought up by root on Debian"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)
    with using_oar() if launcher == "oar" else nullcontext():
        _bring_up(launcher)
    cluster = Cluster(launcher, {"slurm": "slurmtest", "oar": "oaruser"}[launcher], cluster_python())
    for directory in Path(f"/home/{cluster.user}").glob("tests-*"):  # of processes that have ended
        if not Path("/proc", directory.name.removeprefix("tests-")).exists():
            shutil.rmtree(directory, ignore_errors=True)
    return cluster


def _bring_up(launcher: str) -> None:
    # One at a time on this machine: two would edit the scheduler's configuration at once, and damage it
    with (_LOCKS / f"hydra-mlxp-{launcher}-up").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(["bash", str(HERE / f"{launcher}-up.sh")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def using_oar(*, alone: bool = False) -> Iterator[None]:
    """Keep OAR up until the end of the block, or be the only one of all tests that uses it."""
    with (_LOCKS / "hydra-mlxp-oar.next").open("w") as turn, (_LOCKS / "hydra-mlxp-oar.lock").open("w") as lock:
        # A test that stops OAR gets its turn, however many tests use OAR
        fcntl.flock(turn, fcntl.LOCK_EX)
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(turn, fcntl.LOCK_UN)
        yield


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
    python = str(directory / "bin" / "python")
    warm_start.PYTHONS.add(python)
    return python


def _make_cluster_python(directory: Path) -> None:
    pins = [f"{name}=={version(name)}" for name in ("hydra-core", "omegaconf", "submitit", "numpy", "scikit-learn")]
    pins += ["hydra-optuna-sweeper", "hydra-zen", "pytest"]
    # setuptools builds in the source tree: from a copy, so that nothing is left in this one
    source = directory.with_name(f"{directory.name}-source")
    shutil.rmtree(source, ignore_errors=True)
    ignore = shutil.ignore_patterns(".*", "build", "*.egg-info", "logs", "__pycache__")
    shutil.copytree(REPOSITORY, source, ignore=ignore)
    make_venv = [str(HERE.parent / "make-venv"), "/usr/bin/python3", str(directory)]
    subprocess.run([*make_venv, *pins, "--reinstall-package", "hydra-mlxp", f"{source}[example]"], check=True)
    # The scheduler's user may not write there what Python would keep for the next start
    rarely_used = r"/(tests|pip|setuptools|pygments/lexers|sqlalchemy/dialects|prompt_toolkit|alembic)/"
    subprocess.run(
        [str(directory / "bin" / "python"), "-m", "compileall", "-q", "-j", "0", "-x", rarely_used, str(directory)],
        check=True,
        stdout=subprocess.DEVNULL,
    )


@contextmanager
def oar_service(name: str) -> Iterator[None]:
    """Stop OAR's server or its database, and start it again at the end; for tests marked `alone`."""
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
        _bring_up("oar")
