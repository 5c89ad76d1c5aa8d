"""What launches write down of their runs, a line each; and all that they wrote, read for those who look at the runs:
leniently, and no more than that.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlxp_core.errors import LaunchRecordError
from mlxp_core.runs.plan_file import PlanFile

# In a sweep's directory: its jobs, a line a run
RECORD = "submissions.jsonl"
# Beside it: how jobs ended, as somebody saw it before their scheduler forgot it
JOB_STATES = "job-states.jsonl"


@dataclass(frozen=True)
class Submission:
    """A run's job, as the launch noted it.

    Attributes:
        job_id: the scheduler's.
        scheduler: the name of its class, without the module.
        at: when it was noted, ISO 8601.
        sweep: the directory of the sweep, which holds the note.
        launch: the name of the launch in it; empty where that was not noted.
    """

    job_id: str
    scheduler: str
    at: str
    sweep: Path
    launch: str = ""

    def is_before(self, other: Submission) -> bool:
        """Whether another submission of the same run came later; of one sweep, as its launches are numbered."""
        if self.sweep == other.sweep:
            return (len(self.launch), self.launch, self.at) <= (len(other.launch), other.launch, other.at)
        return self.at <= other.at


@dataclass(frozen=True)
class FinalState:
    """How a run's job ended.

    Attributes:
        job_id: as it was submitted.
        state: its last one, in SLURM's words.
        reason: the scheduler's words for it, if it had any.
        at: when it was seen, ISO 8601.
    """

    job_id: str
    state: str
    reason: str
    at: str


@dataclass(frozen=True)
class LaunchRecord:
    """A plan on disk.

    Attributes:
        directory: the launch's own.
        scheduler: the dotted name of the scheduler's class.
        options: the launcher's, as plain data.
        import_paths: where the application finds its own modules.
        array_size: jobs in one request, at most.
        runs: the directories of its runs, as they were called then, with `output_subdir`,
            `sweep_overrides` and `place`, the position among them.
        at: when it was written, ISO 8601; None where that was not noted.
    """

    directory: Path
    scheduler: str
    options: Mapping[str, Any]
    import_paths: Sequence[str]
    array_size: int
    runs: Mapping[str, Mapping[str, Any]] = field(repr=False)
    at: str | None = None

    @property
    def dry_run(self) -> bool:
        """Whether nothing was to be submitted."""
        return bool(self.options.get("dry_run"))

    @property
    def shares_jobs(self) -> bool:
        """Whether several runs are in one job."""
        return int(self.options.get("runs_per_job") or 1) > 1

    def was_asked(self, run: str) -> bool:
        """Whether the scheduler was given the request with this run: then it may have more than was noted."""
        place = self.runs[run]["place"] // (self.array_size * int(self.options.get("runs_per_job") or 1))
        return (self.directory / str(place + 1) / "answer.txt").exists()


@dataclass(frozen=True)
class Records:
    """All that launches noted.

    Attributes:
        launches: the one that a run belongs to, the last one of several; by the run's directory as it was called then.
        submissions: the last one of each run, the same way.
        learned: how the last job of each run that somebody saw ended, the same way.
    """

    launches: Mapping[str, LaunchRecord]
    submissions: Mapping[str, Submission]
    learned: Mapping[str, FinalState]


def read_records(sweep_dirs: Iterable[Path]) -> Records:
    """Read the records of sweeps, in the order in which their launches were made; what is damaged is left out."""
    sweeps = list(dict.fromkeys(sweep_dirs))
    launches: dict[str, LaunchRecord] = {}
    plans = [plan for sweep in sweeps for plan in sweep.glob("launch-*/plan.json")]
    for file in sorted(plans, key=_modified):
        launch = _read_plan(file)
        if launch is not None:
            launches.update(dict.fromkeys(launch.runs, launch))
    submissions: dict[str, Submission] = {}
    learned: dict[str, FinalState] = {}
    for sweep in sweeps:
        for entry in read_entries(sweep / RECORD, "run", "job_id", "scheduler", "at"):
            known = submissions.get(entry["run"])
            found = Submission(entry["job_id"], entry["scheduler"], entry["at"], sweep, str(entry.get("launch", "")))
            if known is None or known.is_before(found):
                submissions[entry["run"]] = found
        for entry in read_entries(sweep / JOB_STATES, "run", "job_id", "state", "reason", "at"):
            learned[entry["run"]] = FinalState(entry["job_id"], entry["state"], entry["reason"], entry["at"])
    return Records(launches, submissions, learned)


def import_paths(main_file: str | None, cwd: str, environment: Mapping[str, str]) -> list[str]:
    """Where an application finds its own modules.

    Args:
        main_file: the application's file, if it has one.
        cwd: where it is started.
        environment: the variables that it is started with.
    """
    searched = environment.get("PYTHONPATH", "").split(os.pathsep)
    beside = [os.path.dirname(main_file)] if main_file else []
    return [*beside, *(os.path.join(cwd, path) for path in searched if path), cwd]


def append_entries(file: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Add entries to a record, a line each, in one piece, so that two processes do not mix theirs.

    Raises:
        OSError: not all could be written.
    """
    lines = "".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries)
    with file.open("ab+") as record:
        # A crash may have cut the last line off: a new one must not continue it
        if record.tell():
            record.seek(-1, os.SEEK_END)
            lines = lines if record.read() == b"\n" else f"\n{lines}"
        record.write(lines.encode())


def _modified(file: Path) -> float:
    try:
        return file.stat().st_mtime
    except OSError:  # taken back meanwhile
        return 0


def _read_plan(file: Path) -> LaunchRecord | None:
    try:
        plan = PlanFile.read(file)
        runs = {run["directory"]: {**run, "place": place} for place, run in enumerate(plan.runs)}
        paths = import_paths(plan.main_file, plan.app["cwd"], plan.app["environment"])
        return LaunchRecord(file.parent, plan.scheduler, dict(plan.options), paths, plan.array_size, runs, plan.at)
    except (LaunchRecordError, ValueError, KeyError, TypeError, AttributeError):
        return None


def read_entries(file: Path, *keys: str) -> Iterator[dict[str, str]]:
    """The entries of a record with a line for each, which have these keys; those that a crash cut off are left out."""
    try:
        text = file.read_bytes()
    except OSError:
        return
    try:
        entries = json.loads(b"[%s]" % b",".join(text.splitlines()))  # many at once take half the time
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
