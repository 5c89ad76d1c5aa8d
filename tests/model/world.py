"""What the model keeps of its user: the project, what was asked for, and the steps so far."""

from __future__ import annotations

import functools
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from tests.clusters import Cluster
from tests.model import invariants
from tests.model.application import MAIN, Diary, Start
from tests.model.faults import Faults
from tests.model.oracle import Job, Oracle
from tests.programs import Result
from tests.projects import Project

P = ParamSpec("P")
W = TypeVar("W", bound="World")
# A job that is started while it is cancelled is still cancelled
_KILLED_UNTIL_S = 10
# No command of `mlxp` that the model runs waits for runs
_MLXP_ENDS_IN_S = 180


class Violation(AssertionError):
    """Something that must be true after each step is not; the message ends with the steps, as code."""


def step(action: Callable[Concatenate[W, P], None]) -> Callable[Concatenate[W, P], None]:
    """Note a step of the user, do it, and look at what must be true after it."""

    @functools.wraps(action)
    def noted(self: W, *args: P.args, **kwargs: P.kwargs) -> None:
        words = [*map(repr, args), *(f"{name}={value!r}" for name, value in kwargs.items())]
        self.steps.append(f"user.{action.__name__}({', '.join(words)})")
        try:
            action(self, *args, **kwargs)
            self.notice_runs()
            invariants.check(self)
        except (AssertionError, subprocess.TimeoutExpired) as error:
            said = "\n".join(f"$ {command}\n{text}" for command, text in self.said[-3:])
            raise Violation(f"{error}\n\nThe last commands:\n{said}\n\nThe steps:\n{self.story()}") from error

    return noted  # type: ignore[return-value]  # functools.wraps names the first parameter


class World:
    """A user's project on a cluster.

    Args:
        cluster: The scheduler that launches use.
        name: Name of the directory in the user's home.
        is_patient: Whether the user waits after each step until jobs neither start nor end.
    """

    def __init__(self, cluster: Cluster, name: str, *, is_patient: bool = True) -> None:
        home = cluster.app(name)
        self.cluster = cluster
        self.base = home.directory
        self.is_patient = is_patient
        self.faults = Faults(self.base / "faults")
        environment = {**home.environment, "PATH": f"{self.faults.programs}:{home.environment['PATH']}"}
        self.project = Project(self.base / "project" / "tutorial", home.python, environment, home.user)
        self.diary = Diary(self.base / "diary")
        self.diary.directory.mkdir()
        self.oracle = Oracle(cluster, self.base)
        self.steps: list[str] = []
        self.said: list[tuple[str, str]] = []  # commands and what they printed
        self.allowed: Counter[str] = Counter()  # how often each run may have started
        self.killed: dict[str, float] = {}  # when the user last ended each run
        self.removed: set[str] = set()  # runs that were deleted by the user, or by a confirmed clean
        self.files: set[Path] = set()  # what the user wrote
        self.processes: list[subprocess.Popen[str]] = []
        self.local: list[subprocess.Popen[str]] = []  # sweeps on this machine that were not ended
        self.local_runs: dict[str, subprocess.Popen[str]] = {}  # the sweep on this machine that has each run
        self.create()

    def create(self) -> None:
        """Create the project, with two commits of different code."""
        self.project.create()
        self.project.write("main.py", MAIN.replace("@DIARY@", str(self.diary.directory)))
        self.project.write("conf/config.yaml", "kind: short\n")
        with (self.project.root / ".git" / "info" / "exclude").open("a") as file:
            file.write("logs\n.workdir\n")  # links, which cannot hold a .gitignore
        self.project.git("add", "-A")
        self.project.git("commit", "-q", "--amend", "-m", "the first commit")
        self.project.write("answer.py", "VALUE = 2\n")
        self.project.commit()
        subprocess.run(["chown", "-R", f"{self.project.user}:", str(self.base)], check=True)
        self.git_state = self.read_git()

    @property
    def logs(self) -> Path:
        """The directory of the numbered runs."""
        return self.project.directory / "logs"

    def numbers(self) -> list[str]:
        """Return the numbers of the runs on disk, in order; not those that were removed."""
        names = [path.name for path in self.logs.glob("[0-9]*") if path.name.isdecimal()]
        return sorted({*names} - self.removed, key=int)

    def notice_runs(self) -> None:
        """Allow a first start to runs that are new."""
        for run in self.numbers():
            self.allowed.setdefault(run, 1)

    def story(self) -> str:
        """Return the steps so far as the code of a test."""
        first = f"with user_of({self.cluster.launcher!r}, is_patient={self.is_patient}) as user:"
        return "\n    ".join([first, *self.steps])

    def mlxp(self, *arguments: str) -> Result:
        """Run the command `mlxp`; it may end as it likes, but not with a traceback."""
        program = str(Path(self.project.python).with_name("mlxp"))
        return self.note(f"mlxp {' '.join(arguments)}", self.project.call(program, *arguments, timeout=_MLXP_ENDS_IN_S))

    def note(self, command: str, result: Result, *, is_hydras: bool = False) -> Result:
        """Note what a command printed; it may not print a traceback, unless Hydra or Python may have been hit."""
        self.said.append((command, f"{result.text}(exit status {result.status})"))
        assert is_hydras or "Traceback" not in result.text, f"{command} prints a traceback"
        return result

    def read_git(self) -> tuple[str, ...]:
        """Return what belongs to the user in the repository: HEAD, branches, index and changes."""
        git = self.project.git
        head = (self.project.root / ".git" / "HEAD").read_text()
        branches = git("for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags", "refs/stash")
        changes = git("--no-optional-locks", "status", "--porcelain")
        locks = " ".join(path.name for path in (self.project.root / ".git").glob("*.lock"))
        return head, branches, git("ls-files", "-s"), changes, git("diff"), locks

    def user_changed_git(self) -> None:
        """Take the repository as the user made it."""
        self.git_state = self.read_git()

    def in_background(self, *argv: str) -> subprocess.Popen[str]:
        """Start a command of the user; it ends at the end of the test at the latest."""
        process = self.project.start(*argv)
        self.processes.append(process)
        return process

    def run_of(self, path: Path) -> str | None:
        """Return the number of the run in whose directory a file is."""
        return path.relative_to(self.logs).parts[0] if path.is_relative_to(self.logs) else None

    def jobs_of(self, run: str) -> list[Job]:
        """Return the jobs of a run that have not ended."""
        return [job for job in self.oracle.jobs() if job.run == run and job.state != "ENDED"]

    def live(self, run: str) -> list[Start]:
        """Return the starts of a run whose process exists."""
        return [start for start in self.diary.of(run) if start.is_alive]

    def is_active(self, run: str) -> bool:
        """Return whether a run has a process or a job."""
        return bool(self.live(run) or self.jobs_of(run) or run in self.oracle.scripts())

    def kills(self, *runs: str) -> None:
        """Note that the user ends runs."""
        for run in runs:
            self.killed[run] = time.time()

    def was_killed(self, start: Start) -> bool:
        """Return whether the user has ended this start."""
        return start.time <= self.killed.get(start.run, 0) + _KILLED_UNTIL_S

    def __enter__(self: W) -> W:
        return self

    def __exit__(self, *error: object) -> None:
        """End everything that is left of it."""
        shutil.rmtree(self.diary.directory)  # which ends long runs
        for process in self.processes:
            process.kill()
            process.communicate()
        if names := [job.name for job in self.oracle.jobs() if job.state != "ENDED"]:
            self.cluster.cancel(names)
