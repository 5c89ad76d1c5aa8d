"""What is true of each run, from the scheduler's own programs, the process table and the diary: none of our code."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tests.clusters import Cluster
from tests.model.application import Start

_PENDING = {"PENDING", "Waiting", "Hold"}
_ENDED = {
    *("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE"),
    *("PREEMPTED", "REVOKED", "Terminated", "Error"),
}
# In these, "wait" means until the user does something
_HELD = {"JobHeldUser", "BeginTime", "Hold"}


class Job(NamedTuple):
    """A job as the scheduler shows it.

    Attributes:
        id: Its id as the application sees it; tasks of an array that have not started have that of the array.
        name: Its id as the scheduler's commands take it.
        run: Number of the run whose script it starts.
        state: PENDING, ACTIVE or ENDED.
        word: The scheduler's own word for the state; CANCELLED also for a job that OAR killed.
        is_held: Whether it waits for something else than its turn.
    """

    id: str
    name: str
    run: str
    state: str
    word: str
    is_held: bool


class Oracle:
    """Asks about all jobs and processes of an application in a directory."""

    def __init__(self, cluster: Cluster, directory: Path) -> None:
        self._cluster = cluster
        self._directory = directory
        self._seen: dict[str, Job] = {}
        self._runs: dict[str, str] = {}

    def jobs(self) -> list[Job]:
        """Return all jobs whose script is in the directory, those that have ended too, in their order."""
        ask = {"slurm": self._slurm, "oar": self._oar}[self._cluster.launcher]
        current = {job.name: job for job in ask()}
        for name, job in self._seen.items():
            if name not in current and job.state == "PENDING":  # SLURM drops a task that is cancelled in the queue
                current[name] = job._replace(state="ENDED", word="CANCELLED")
        self._seen |= current
        return [self._seen[name] for name in sorted(self._seen, key=lambda name: [*map(int, name.split("_"))])]

    def _slurm(self) -> Iterator[Job]:
        rows = self._cluster.output("squeue", "-hrt", "all", "-u", self._cluster.user, "-o", "%A|%i|%K|%T|%r|%o")
        for row in rows.splitlines():
            number, name, task, word, reason, command = row.split("|", 5)
            if Path(command).is_relative_to(self._directory):
                task = "" if task == "N/A" else task
                yield Job(number, name, self._run(name, command, task), _state(word), word, reason in _HELD)

    def _oar(self) -> Iterator[Job]:
        sql = f"command LIKE '{self._directory}/%'"
        answer = _persist(lambda: self._cluster.output("oarstat", "-fJ", "--sql", sql))
        jobs: dict[str, dict[str, Any]] = json.loads(answer or "{}")
        for number, job in jobs.items():
            command, _, task = job["command"].partition(" ")
            word = job["state"]
            if word == "Error" and any(event["type"] == "FRAG_JOB_REQUEST" for event in job["events"]):
                word = "CANCELLED"
            state = "ENDED" if word == "CANCELLED" else _state(word)
            yield Job(number, number, self._run(number, command, task), state, word, word in _HELD)

    def _run(self, job: str, command: str, task: str) -> str:
        """Return the number of the run that a job starts: the script is in its directory, or a link leads there."""
        script = Path(command).parent / task / "script.sh"
        # Kept, because it may be removed later; where it is gone already, nothing is said of the run
        if job not in self._runs:
            self._runs[job] = script.resolve().parent.name if script.exists() else "gone"
        return self._runs[job]

    def scripts(self) -> set[str]:
        """Return the numbers of the runs whose scripts are processes on this machine."""
        found = set()
        for process in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = process.read_text().split("\0")
            except (OSError, UnicodeDecodeError):
                continue
            paths = [Path(word) for word in words if word.endswith("/script.sh") or "/info.yaml" in word]
            mine = [path for path in paths if path.is_relative_to(self._directory)]
            # A record is in metadata/ of the run's directory
            found |= {(path.parent if path.name == "info.yaml" else path).resolve().parent.name for path in mine}
        return found


def _state(word: str) -> str:
    return "PENDING" if word in _PENDING else "ENDED" if word in _ENDED else "ACTIVE"


def _persist(ask: Callable[[], str]) -> str:
    """Ask again where oarstat dies of a job that changes its state meanwhile."""
    for _ in range(5):
        try:
            return ask()
        except subprocess.CalledProcessError:
            time.sleep(0.5)
    return ask()


def expected(
    starts: list[Start], jobs: list[Job], *, has_script: bool, is_next: bool, was_killed: bool
) -> frozenset[str] | None:
    """Return the statuses that are true of a run; None while it changes.

    Args:
        starts: The starts of the run, in their order.
        jobs: The jobs of the run, in their order.
        has_script: Whether its script is a process.
        is_next: Whether a sweep on this machine is going to start it.
        was_killed: Whether the user has ended the last start, or the job before it.
    """
    if any(start.is_alive for start in starts):
        return None if any(start.is_alive and start.end for start in starts) else frozenset({"RUNNING"})
    if has_script or any(job.state == "ACTIVE" for job in jobs):
        return None
    if is_next or any(job.state == "PENDING" for job in jobs):
        return frozenset({"PENDING"})
    # A job that never started the application: cancelled in the queue, or its script failed or refused to start
    without = [job for job in jobs if job.id not in {start.job for start in starts}]
    others = {"CANCELLED" if re.match("CANCELLED", job.word) else "FAILED" for job in without}
    if not starts:
        return frozenset(others or {"NOT_SUBMITTED"})
    last = starts[-1]
    own = {job.id: job.word for job in jobs}.get(last.job or "")
    if last.end is None:
        status = {"CANCELLED"} if own == "CANCELLED" else {"FAILED"} if own else {"FAILED", "CANCELLED"}
    else:
        status = {"COMPLETE" if last.end == "short" else "FAILED"}
        if was_killed:  # it was ending by itself at that moment
            status |= {"FAILED", "CANCELLED"}
    return frozenset(status | others)
