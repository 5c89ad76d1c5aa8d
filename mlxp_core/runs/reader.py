"""The runs in a directory, as their own files describe them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from mlxp_core.errors import NoRunsError
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.discovery import SUBDIRS, find_runs, has_record, sweeps_above
from mlxp_core.runs.fast_yaml import load_yaml
from mlxp_core.runs.file_cache import FileCache
from mlxp_core.runs.info import RunStatus
from mlxp_core.runs.journal import FinalState, LaunchRecord, Records, Submission, read_records

# The job ids of runs on this machine mean nothing later
LOCAL = "LocalScheduler"


@dataclass(frozen=True)
class RunRecord:
    """One run on disk.

    Attributes:
        path: its directory, absolute.
        output_subdir: where its record is in it.
        name: its number, or its directory as seen from the one that was asked about.
        info: its record (info.yaml); empty when it has none, or a damaged one.
        overrides: those that make it this run.
        launch: the launch that it belongs to, if there is one.
        submission: its job, as its launch noted it.
        learned: how its last job ended, if that was seen once.
        problem: what is wrong with its record; empty when nothing is.
    """

    path: str
    output_subdir: str | None
    name: str
    info: Mapping[str, Any]
    overrides: tuple[str, ...]
    launch: LaunchRecord | None
    submission: Submission | None
    learned: FinalState | None = None
    problem: str = ""

    @cached_property
    def directory(self) -> RunDirectory:
        """Its directory, and what is in it."""
        return RunDirectory(Path(self.path), self.output_subdir)

    @property
    def recorded_as(self) -> str:
        """Its directory as it was called when it was launched: the name by which records speak of it."""
        return str(self.info.get("log_dir") or self.path)

    @cached_property
    def scheduler(self) -> str | None:
        """The name of its scheduler's class, dotted where that is known; None for a run without one."""
        if self.launch is not None:
            return self.launch.scheduler
        name = self.info.get("scheduler", {}).get("name")
        return str(name) if name else self.submission.scheduler if self.submission else None

    @property
    def scheduler_title(self) -> str | None:
        """Its scheduler, as short as it can be shown: SLURM, OAR, Local."""
        return self.scheduler.rpartition(".")[2].removesuffix("Scheduler") if self.scheduler else None

    @cached_property
    def job_id(self) -> str | None:
        """Its job, the one that its scheduler made last of it; None for a run without one, also on this machine."""
        if self.scheduler == LOCAL or self.is_unsubmitted:
            return None
        own = self.info.get("scheduler", {}).get("scheduler_job_id")
        if self.submitted_again or (self.submission and not self.info.get("start_time")):
            return self.submission.job_id if self.submission else None
        return str(own) if own else None

    @cached_property
    def is_unsubmitted(self) -> bool:
        """Whether its last launch did not submit it, as far as was noted, and as its record knows."""
        launch, submission = self.launch, self.submission
        if launch is None:
            return False
        same_sweep = submission is not None and submission.sweep == launch.directory.parent
        if submission is not None and same_sweep and submission.launch in ("", launch.directory.name):
            return False
        start, written = seconds(self.info.get("start_time")), seconds(launch.at)
        if start is None:
            return submission is None or written is not None
        return written is not None and start < written

    @cached_property
    def submitted_again(self) -> bool:
        """Whether it was submitted after its record was started: then that is an earlier start's."""
        own = self.info.get("scheduler", {}).get("scheduler_job_id")
        if self.submission is None or own == self.submission.job_id:
            return False
        start, noted = seconds(self.info.get("start_time")), seconds(self.submission.at)
        return start is not None and noted is not None and noted >= start

    @cached_property
    def first_job_id(self) -> str | None:
        """The job as it was submitted, by which a scheduler is asked that makes a new one when it starts it again."""
        return self.submission.job_id if self.submission and self.job_id else self.job_id


class RunReader:
    """Reads the runs of one directory, again and again; what did not change is not read again.

    Args:
        directory: of numbered runs, of a sweep, of sweeps, or of one run.

    Raises:
        NoRunsError: there is no such directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        if not self.directory.is_dir():
            raise NoRunsError(f"There is no directory {directory}: name that of the runs (see mlxp --help).")

    @cached_property
    def cache(self) -> FileCache:
        """What was read before; nothing is kept in the directory of a run itself."""
        return FileCache(None if has_record(str(self.directory)) else self.directory)

    def read(self) -> list[RunRecord]:
        """All runs, in the order of their numbers.

        Raises:
            NoRunsError: there are none.
            RunDirectoryError: the directory cannot be read.
        """
        found = find_runs(self.directory)
        if not found.runs:
            raise NoRunsError(
                f"There are no runs in {self.directory}: name a directory of numbered runs (./logs), of a sweep "
                "(multirun/<day>/<time>), or of one run."
            )
        records = read_records(found.sweeps)
        return [self._read(path, records, self.cache) for path in found.runs]

    def read_some(self, paths: Sequence[Path]) -> list[RunRecord]:
        """The runs in these directories alone."""
        sweeps = {sweep: None for path in paths for sweep in sweeps_above(str(path))}
        records = read_records(sweeps)
        cache = FileCache(None)
        return [self._read(str(path), records, cache) for path in paths]

    def _read(self, path: str, records: Records, cache: FileCache) -> RunRecord:
        info: Any = {}
        subdir, problem = "", ""
        for subdir in SUBDIRS:
            file = f"{path}/{subdir}/info.yaml" if subdir else f"{path}/info.yaml"
            try:
                info = cache.read(file, load_yaml) or {}
                break
            except (FileNotFoundError, NotADirectoryError):
                continue
            except OSError as error:
                problem = f"{file} cannot be read: {error.strerror}"
                break
            except (yaml.YAMLError, UnicodeDecodeError):
                problem = f"{file} is damaged"
                break
        else:
            launch = records.launches.get(path)
            subdir = str(launch.runs[path]["output_subdir"] or "") if launch else "metadata"
            problem = f"{path} has no record (info.yaml)"
        if not problem and not _is_whole(info):
            info, problem = {}, f"{path}/{subdir}/info.yaml is damaged".replace("//", "/")
        recorded_as = info.get("log_dir") or path
        launch = records.launches.get(recorded_as)
        overrides = launch.runs[recorded_as]["sweep_overrides"] if launch else _overrides(path, subdir, cache)
        above = f"{self.directory}/"
        name = path.removeprefix(above) if path.startswith(above) else os.path.basename(path)
        submission, learned = records.submissions.get(recorded_as), records.learned.get(recorded_as)
        return RunRecord(path, subdir or None, name, info, tuple(overrides), launch, submission, learned, problem)


def _is_whole(info: Any) -> bool:
    """Whether it is all of a record; the scheduler comes last in a new one."""
    if not isinstance(info, dict) or not isinstance(info.get("scheduler"), dict):
        return False
    return info.get("status") in RunStatus.__members__


def _overrides(path: str, subdir: str, cache: FileCache) -> Sequence[str]:
    try:
        found = cache.read(f"{path}/{subdir}/overrides.yaml", load_yaml)
    except (OSError, yaml.YAMLError):
        return ()
    return [str(one) for one in found] if isinstance(found, list) else ()


def seconds(moment: Any) -> float | None:
    """A moment as records have it (ISO 8601 with the zone) in seconds since the epoch; None when it is none."""
    try:
        return datetime.fromisoformat(moment).timestamp()
    except (TypeError, ValueError):
        return None
