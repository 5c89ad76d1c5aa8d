"""What the directory of a run holds before the run starts: its script and its first record."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlxp_core.config.settings_file import settings_text
from mlxp_core.files import read_if_there, write_whole
from mlxp_core.jobs.script import Job
from mlxp_core.launch.plan import Plan, PlannedRun
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import new_info, read_info, restarted, write_info
from mlxp_core.versioning.copy_usage import register_runs


class RunFiles:
    """Writes the directories of runs, and takes back those of runs that are not launched.

    Args:
        plan: what is launched.
        scheduler: the name of the scheduler's class.
        script: the text of a job's script.
        waits_here: whether the runs wait in this process until it starts them; then their records name it.
    """

    def __init__(self, plan: Plan, scheduler: str, script: Callable[[Job], str], *, waits_here: bool = False) -> None:
        self._plan = plan
        self._scheduler = scheduler
        self._script = script
        self._waits_in = this_process() if waits_here else {}
        self._settings = settings_text(plan.settings)
        self._noted: set[Path] = set()
        # What a file held before we wrote it
        self._replaced: dict[Path, bytes | None] = {}

    def write(self, run: PlannedRun) -> None:
        """Complete a run's directory; from the submission on it belongs to the job.

        Raises:
            RunDirectoryError: it cannot be written.
        """
        directory = run.directory
        for file in _files(directory):
            self._replaced[file] = read_if_there(file)
        if self._replaced[directory.job_return] is not None:
            directory.job_return.unlink()
        plan = self._plan
        if plan.again:
            reset_record(directory)
            return
        write_whole(directory.script, self._script(run.job), mode=0o777)
        info = new_info(
            directory,
            scheduler=self._scheduler,
            work_dir=str(plan.app.cwd),
            executable=plan.app.start[0],
            main_file=plan.main_file,
            command=plan.app.argv,
            environment=plan.app.environment,
            version=plan.version,
        )
        if directory.path.parent not in self._noted:
            self._noted.add(directory.path.parent)
            register_runs(plan.version, directory.path.parent)
        write_whole(directory.settings, self._settings)
        write_info(directory.info, info | self._waits_in)

    def take_back(self, runs: Sequence[PlannedRun]) -> None:
        """Leave the directories of runs that are not launched as they were."""
        for directory in [run.directory for run in runs]:
            for file in self._replaced.keys() & _files(directory):
                old = self._replaced[file]
                with suppress(OSError):
                    if old is None:
                        file.unlink()
                    else:
                        file.write_bytes(old)
                del self._replaced[file]  # once: then the directory may be another launch's
            remove_if_empty(directory)


def this_process() -> dict[str, Any]:
    """What a record says of a run that waits in this process, until it starts."""
    return {"hostname": socket.gethostname(), "process_id": os.getpid()}


def reset_record(directory: RunDirectory) -> None:
    """Make the record of a run that of one that starts again.

    Raises:
        RunDirectoryError: it cannot be written.
    """
    info = restarted(read_info(directory.info))
    write_info(directory.info, info | {"scheduler": {**info["scheduler"], "scheduler_job_id": None}})


def _files(directory: RunDirectory) -> tuple[Path, ...]:
    return directory.script, directory.settings, directory.info, directory.job_return


def remove_if_empty(directory: RunDirectory) -> None:
    """Remove a run's directory when nothing but other empty directories is in it."""
    with suppress(OSError):  # it is an older run's, and holds something
        directory.metadata.rmdir()
    if not os.path.lexists(directory.metadata):
        for path in (directory.path / "metrics", directory.path / "artifacts", directory.path):
            with suppress(OSError):
                path.rmdir()
