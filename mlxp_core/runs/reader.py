"""Reading the runs in a directory: what their own files and the journals of their launches say."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from mlxp_core.errors import NoRunsError
from mlxp_core.runs.directory import RunDirectory, has_files
from mlxp_core.runs.discovery import SUBDIRS, find_runs, has_record, sweeps_above
from mlxp_core.runs.fast_yaml import load_yaml
from mlxp_core.runs.file_cache import FileCache
from mlxp_core.runs.info import RunStatus, seconds
from mlxp_core.runs.journal import FinalState, LaunchRecord, Records, Submission, read_records
from mlxp_core.runs.starts import current_start

# The job ids of runs on this machine mean nothing later
LOCAL = "LocalScheduler"


@dataclass(frozen=True)
class RunRecord:
    """One run on disk.

    Attributes:
        path: The run's directory, absolute.
        output_subdir: Subdirectory that holds its record; None if that is the run's directory itself.
        name: Its number, or its path relative to the directory that was read.
        info: Its record (info.yaml); empty if it has none or a damaged one.
        overrides: The overrides that distinguish it from the other runs of its sweep.
        launch: The last launch that it belongs to; None without one.
        submission: Its last submission, from the journal of its sweep; None without one.
        final_state: The last final state observed of one of its jobs, from the journal of its sweep.
        problem: What is wrong with its record; empty if nothing is.
    """

    path: str
    output_subdir: str | None
    name: str
    info: Mapping[str, Any]
    overrides: tuple[str, ...]
    launch: LaunchRecord | None
    submission: Submission | None
    final_state: FinalState | None = None
    problem: str = ""

    @cached_property
    def directory(self) -> RunDirectory:
        """The paths in the run's directory."""
        return RunDirectory(Path(self.path), self.output_subdir)

    @property
    def recorded_as(self) -> str:
        """The path that the run's directory had at the launch, which is the run's name in plans and journals."""
        return str(self.info.get("log_dir") or self.path)

    @cached_property
    def scheduler(self) -> str | None:
        """The name of the scheduler's class, with its module if the launch recorded it; None without a scheduler."""
        if self.launch is not None:
            return self.launch.scheduler
        name = self.info.get("scheduler", {}).get("name")
        return str(name) if name else self.submission.scheduler if self.submission else None

    @property
    def scheduler_title(self) -> str | None:
        """The scheduler's name for users, from the name of its class: SLURM, OAR, Local."""
        return self.scheduler.rpartition(".")[2].removesuffix("Scheduler") if self.scheduler else None

    @cached_property
    def start(self) -> Mapping[str, Any] | None:
        """The start that its record is about; None for a run that waits for its first start, or for another one."""
        return current_start(self.info)

    @property
    def process(self) -> Mapping[str, Any]:
        """The identity of the process that runs it, or that is to start it; empty if none is recorded."""
        waits_in = self.info.get("waits_in")
        return self.start or (waits_in if isinstance(waits_in, Mapping) else {})

    @property
    def submitted_job(self) -> str | None:
        """The job of its last submission; None without a batch scheduler."""
        return None if self.submission is None or self.scheduler == LOCAL else self.submission.job_id or None

    @cached_property
    def job_id(self) -> str | None:
        """The job of the run's current start, or of its last submission if it waits for a start; None without a job.

        A start by hand has none, and that of a job that its scheduler restarted as a new one (OAR) has the new id.
        """
        if self.scheduler == LOCAL or self.is_unsubmitted:
            return None
        if self.start is None:
            return self.submitted_job
        job_id = self.start.get("job_id")
        return str(job_id) if job_id else None

    @cached_property
    def job_ids(self) -> tuple[str, ...]:
        """The ids by which the scheduler may know its jobs: that of its current start, and the submitted one."""
        if self.scheduler == LOCAL or self.scheduler is None or self.is_unsubmitted:
            return ()
        return tuple(dict.fromkeys(filter(None, (self.job_id, self.submitted_job))))

    @cached_property
    def scripts(self) -> tuple[str, ...]:
        """The paths by which its script may have been started: the present one, without links, and that at launch."""
        parent, name = os.path.split(self.path)
        path = f"{_real_path(parent)}/{name}"
        path = os.path.realpath(path) if os.path.islink(path) else path
        return (f"{path}/{self.directory.script.name}", f"{self.recorded_as}/{self.directory.script.name}")

    @cached_property
    def is_unsubmitted(self) -> bool:
        """Whether the run's last launch has not submitted it, according to the journal and the run's own record.

        A start that is recorded since the launch prepared the run shows that it was submitted, or started by hand.
        """
        launch, submission = self.launch, self.submission
        if launch is None:
            return False
        same_sweep = submission is not None and submission.sweep == launch.directory.parent
        if submission is not None and same_sweep and submission.launch in ("", launch.directory.name):
            return False
        if self.start is None:
            return True
        if (prepared_by := self.info.get("launch")) is None:  # a run without a launch, before or after this one
            started, planned = seconds(self.info.get("start_time")), seconds(launch.at)
            return started is not None and planned is not None and started < planned
        # The sweep may have been moved: its name and that of the launch are enough
        return Path(str(prepared_by)).parts[-2:] != launch.directory.parts[-2:]

    @property
    def was_never_launched(self) -> bool:
        """Whether the directory was made for a run whose launch ended before it wrote its plan."""
        has_no_record = self.problem.endswith("has no record (info.yaml)")
        return has_no_record and self.launch is None and not has_files(self.path)


class RunReader:
    """Reads the runs in a directory, any number of times; files that have not changed are not read again.

    Args:
        directory: Directory of numbered runs, of a sweep, of several sweeps, or of one run.

    Raises:
        NoRunsError: There is no such directory.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        if not self.directory.is_dir():
            raise NoRunsError(f"There is no directory {directory}. Give the directory of the runs (see mlxp --help).")

    @cached_property
    def cache(self) -> FileCache:
        """The cache of the directory; nothing is kept in the directory of a run itself."""
        return FileCache(None if has_record(str(self.directory)) else self.directory)

    def read(self) -> list[RunRecord]:
        """Read all runs, in the order of their numbers.

        Raises:
            NoRunsError: There are none.
            RunDirectoryError: The directory cannot be read.
        """
        found = find_runs(self.directory)
        if not found.runs:
            raise NoRunsError(
                f"There are no runs in {self.directory}. Give a directory of numbered runs (./logs), of a sweep "
                "(multirun/<day>/<time>), or of one run."
            )
        records = read_records(found.sweeps)
        return [self._read(path, records, self.cache) for path in found.runs]

    def read_some(self, paths: Sequence[Path]) -> list[RunRecord]:
        """Read only the runs in the given directories."""
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
            except (yaml.YAMLError, ValueError):
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
        submission, final_state = records.submissions.get(recorded_as), records.final_states.get(recorded_as)
        return RunRecord(path, subdir or None, name, info, tuple(overrides), launch, submission, final_state, problem)


# Of all runs in a directory, once: a call looks at each part of the path
_real_path = lru_cache(maxsize=64)(os.path.realpath)


def _is_whole(info: Any) -> bool:
    """Return whether a record is complete; `scheduler` is the last part of a new one."""
    if not isinstance(info, dict) or not isinstance(info.get("scheduler"), dict):
        return False
    return info.get("status") in RunStatus.__members__ and isinstance(info.get("log_dir") or "", str)


def _overrides(path: str, subdir: str, cache: FileCache) -> Sequence[str]:
    try:
        found = cache.read(f"{path}/{subdir}/overrides.yaml", load_yaml)
    except (OSError, yaml.YAMLError, ValueError):
        return ()
    return [str(one) for one in found] if isinstance(found, list) else ()
