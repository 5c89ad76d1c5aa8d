"""The journals of launches, one line per run, and what readers of runs need of them; damaged parts are left out."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlxp_core.errors import LaunchRecordError
from mlxp_core.files import read_regular
from mlxp_core.runs.info import seconds
from mlxp_core.runs.plan_file import PlanFile, written_at

# Journal in a sweep's directory: the job of each run
SUBMISSIONS = "submissions.jsonl"
# Journal next to it: final states of jobs, kept because schedulers forget them
JOB_STATES = "job-states.jsonl"


@dataclass(frozen=True)
class Submission:
    """The submission of a run, from its sweep's journal.

    Attributes:
        job_id: The scheduler's id of the job; empty if it is not known.
        scheduler: Name of the scheduler's class, without the module.
        at: When it was recorded, ISO 8601.
        sweep: Directory of the sweep.
        launch: Name of the launch in the sweep; empty if it was not recorded.
    """

    job_id: str
    scheduler: str
    at: str
    sweep: Path
    launch: str = ""

    def is_before(self, other: Submission) -> bool:
        """Return whether another submission of the same run, read after this one, is later.

        Within a sweep the numbers of the launches decide; between sweeps, the time.
        """
        mine, others = seconds(self.at) or 0, seconds(other.at) or 0
        if self.sweep == other.sweep:
            return (len(self.launch), self.launch, mine) <= (len(other.launch), other.launch, others)
        return mine <= others


@dataclass(frozen=True)
class FinalState:
    """The final state of a run's job.

    Attributes:
        job_id: Id of the job.
        state: Name of the state, in SLURM's words.
        reason: The scheduler's reason; empty if it gave none.
        at: When it was observed, ISO 8601.
        starts: Number of starts that the run's record had then.
    """

    job_id: str
    state: str
    reason: str
    at: str
    starts: int


@dataclass(frozen=True)
class LaunchRecord:
    """The plan of a launch, as readers of runs need it.

    Attributes:
        directory: Directory of the launch.
        scheduler: Dotted name of the scheduler's class.
        options: The launcher's options, as plain data.
        import_paths: Directories in which the application finds its own modules.
        array_size: Maximum number of jobs in one request.
        runs: `output_subdir`, `sweep_overrides` and `place` (the position in the launch) of each run, by the path that
            the run's directory had at the launch.
        at: When the plan was written, ISO 8601; None if that was not recorded.
        owner: User id of the owner of the plan's file.
    """

    directory: Path
    scheduler: str
    options: Mapping[str, Any]
    import_paths: Sequence[str]
    array_size: int
    runs: Mapping[str, Mapping[str, Any]] = field(repr=False)
    at: str | None = None
    owner: int | None = None

    @property
    def is_own(self) -> bool:
        """Whether the plan is this user's; another user's must not decide what code this process runs."""
        return self.owner == os.getuid()

    @property
    def dry_run(self) -> bool:
        """Whether the launch was a dry run, which submits nothing."""
        return bool(self.options.get("dry_run"))

    @property
    def shares_jobs(self) -> bool:
        """Whether several runs share a job."""
        return int(self.options.get("runs_per_job") or 1) > 1

    def was_asked(self, run: str) -> bool:
        """Return whether the request with a run was given to the scheduler, which may have more jobs than recorded."""
        place = self.runs[run]["place"] // (self.array_size * int(self.options.get("runs_per_job") or 1))
        return (self.directory / str(place + 1) / "answer.txt").exists()


@dataclass(frozen=True)
class Records:
    """The last launch, submission and observed final state of each run.

    Runs are named by the path that their directory had at the launch.
    """

    launches: Mapping[str, LaunchRecord]
    submissions: Mapping[str, Submission]
    final_states: Mapping[str, FinalState]


def read_records(sweep_dirs: Iterable[Path]) -> Records:
    """Read the plans and journals of sweeps, in the order in which the launches were made."""
    sweeps = list(dict.fromkeys(sweep_dirs))
    launches: dict[str, LaunchRecord] = {}
    plans = [_read_plan(file) for sweep in sweeps for file in sweep.glob("launch-*/plan.json")]
    for launch in sorted(filter(None, plans), key=lambda launch: written_at(launch.directory / "plan.json", launch.at)):
        launches.update(dict.fromkeys(launch.runs, launch))
    submissions: dict[str, Submission] = {}
    final_states: dict[str, FinalState] = {}
    for sweep in sweeps:
        for entry in read_entries(sweep / SUBMISSIONS, "run", "job_id", "scheduler", "at"):
            known = submissions.get(entry["run"])
            found = Submission(entry["job_id"], entry["scheduler"], entry["at"], sweep, str(entry.get("launch", "")))
            if known is None or known.is_before(found):
                submissions[entry["run"]] = found
        for entry in read_entries(sweep / JOB_STATES, "run", "job_id", "state", "reason", "at"):
            starts = entry.get("starts")
            final_states[entry["run"]] = FinalState(
                entry["job_id"], entry["state"], entry["reason"], entry["at"], starts if isinstance(starts, int) else 0
            )
    return Records(launches, submissions, final_states)


def import_paths(main_file: str | None, cwd: str, environment: Mapping[str, str]) -> list[str]:
    """Return the directories in which an application finds its own modules.

    Args:
        main_file: The application's file; None if it has none.
        cwd: Directory in which it is started.
        environment: Variables with which it is started.
    """
    searched = environment.get("PYTHONPATH", "").split(os.pathsep)
    own = [os.path.dirname(main_file)] if main_file else []
    return [*own, *(os.path.join(cwd, path) for path in searched if path), cwd]


def append_entries(file: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Append entries to a journal, one per line, in one write so that two processes do not mix theirs.

    When it returns, the entries survive a power cut.

    Raises:
        OSError: Not all entries could be written.
    """
    lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    with file.open("ab+") as journal:
        # A crash may have cut off the last line: a new one must not continue it
        if journal.tell():
            journal.seek(-1, os.SEEK_END)
            lines = lines if journal.read() == b"\n" else f"\n{lines}"
        journal.write(lines.encode())
        journal.flush()
        os.fsync(journal.fileno())


def _read_plan(file: Path) -> LaunchRecord | None:
    try:
        plan = PlanFile.read(file)
        runs = {run["directory"]: {**run, "place": place} for place, run in enumerate(plan.runs)}
        for run in plan.runs:  # another user's plan may contain anything
            if not (isinstance(run["sweep_overrides"], list) and isinstance(run["output_subdir"] or "", str)):
                return None
        int(plan.options.get("runs_per_job") or 1)
        paths = import_paths(plan.main_file, plan.app["cwd"], plan.app["environment"])
        return LaunchRecord(
            file.parent, plan.scheduler, dict(plan.options), paths, plan.array_size, runs, plan.at, plan.owner
        )
    except (LaunchRecordError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_entries(file: Path, *keys: str) -> Iterator[dict[str, Any]]:
    """Yield the entries of a journal that have the given keys, without those that a crash cut off."""
    try:
        text = read_regular(file)
    except OSError:
        return
    try:
        entries = json.loads(b"[%s]" % b",".join(text.splitlines()))  # all at once takes half the time
    except ValueError:
        entries = [entry for line in text.splitlines() for entry in _entry(line)]
    for entry in entries:
        if isinstance(entry, dict) and all(isinstance(entry.get(key), str) for key in keys):
            yield entry


def _entry(line: bytes) -> list[Any]:
    try:
        return [json.loads(line)]
    except ValueError:
        return []
