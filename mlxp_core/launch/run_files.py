"""The files in a run directory before the run starts: its script, its settings and its first record."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlxp_core.config.settings_file import settings_text
from mlxp_core.errors import RunDirectoryError
from mlxp_core.files import read_if_there, write_new, write_whole
from mlxp_core.jobs.script import Job
from mlxp_core.launch.plan import Plan, PlannedRun
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import info_text, new_info, read_info, restarted, write_info
from mlxp_core.runs.starts import this_process
from mlxp_core.versioning.copy_usage import register_runs


class RunFiles:
    """Writes the files of runs, and restores the directories of runs that are not launched after all.

    Args:
        directory: Directory of the launch.
        plan: What it launches.
        scheduler: Class name of the scheduler.
        script: Returns the text of a job's script.
        waits_here: Whether the runs wait in this process until it starts them. Their records then name it.
    """

    def __init__(
        self,
        directory: Path,
        plan: Plan,
        scheduler: str,
        script: Callable[[Job], str],
        *,
        waits_here: bool = False,
    ) -> None:
        self._plan = plan
        # What the records have of this launch
        self._common: dict[str, Any] = {"launch": str(directory)}
        if waits_here:
            self._common["waits_in"] = this_process()
        self._scheduler = scheduler
        self._script = script
        self._settings = settings_text(plan.settings)
        # Directories of runs that are registered with the safe copy
        self._registered: set[Path] = set()
        # The content of each file before it was written; None if it did not exist
        self._replaced: dict[Path, bytes | None] = {}

    def write(self, run: PlannedRun) -> None:
        """Complete a run's directory; from the submission on it belongs to the job.

        Raises:
            RunDirectoryError: A file cannot be written.
        """
        directory = run.directory
        if run.is_new and not os.path.lexists(directory.script):
            self._register(directory)
            self._write_new(directory.script, self._script(run.job), mode=0o777)
            self._write_new(directory.settings, self._settings)
            self._write_new(directory.info, info_text(self._info(directory, is_new=True)))
            return
        for file in _files(directory):
            self._replaced[file] = read_if_there(file)
        if self._replaced[directory.job_return] is not None:
            directory.job_return.unlink()
        if self._plan.is_resubmission:
            reset_record(directory, self._common)
            return
        write_whole(directory.script, self._script(run.job), mode=0o777)
        info = self._info(directory)
        self._register(directory)
        write_whole(directory.settings, self._settings)
        write_info(directory.info, info)

    def _write_new(self, path: Path, text: str, mode: int = 0o666) -> None:
        """Write a file in a directory that this launch made."""
        self._replaced[path] = None
        try:
            write_new(path, text, mode)
        except FileExistsError:
            del self._replaced[path]
            raise RunDirectoryError(
                f"{path} was written by another launch at the same time. Choose another directory (hydra.sweep.dir and "
                "hydra.sweep.subdir)."
            ) from None

    def _info(self, directory: RunDirectory, *, is_new: bool = False) -> dict[str, Any]:
        """Return the record of a run that waits for its start."""
        plan = self._plan
        info = new_info(
            directory,
            scheduler=self._scheduler,
            work_dir=str(plan.app.cwd),
            executable=plan.app.start[0],
            main_file=plan.main_file,
            command=plan.app.argv,
            environment=plan.app.environment,
            version=plan.version,
            is_new=is_new,
        )
        return info | self._common

    def _register(self, directory: RunDirectory) -> None:
        """Register the directory of runs with the safe copy that they use, before a run there has a record."""
        if directory.path.parent not in self._registered:
            self._registered.add(directory.path.parent)
            register_runs(self._plan.version, directory.path.parent)

    def restore(self, runs: Sequence[PlannedRun]) -> None:
        """Restore the directories of runs that are not launched to what they were before `write`."""
        for directory in [run.directory for run in runs]:
            for file in self._replaced.keys() & _files(directory):
                old = self._replaced[file]
                with suppress(OSError):
                    if old is None:
                        file.unlink()
                    else:
                        file.write_bytes(old)
                del self._replaced[file]  # only once: afterwards another launch may use the directory
            remove_if_empty(directory)


def reset_record(directory: RunDirectory, changes: Mapping[str, Any]) -> None:
    """Change the record of a run to that of a run that has not started again yet.

    Args:
        directory: Directory of the run.
        changes: Entries to set.

    Raises:
        RunDirectoryError: The record cannot be written.
    """
    info = restarted(read_info(directory.info))
    write_info(directory.info, {**info, "scheduler": {**info["scheduler"], "scheduler_job_id": None}, **changes})


def _files(directory: RunDirectory) -> tuple[Path, ...]:
    return directory.script, directory.settings, directory.info, directory.job_return


def remove_if_empty(directory: RunDirectory) -> None:
    """Remove a run's directory if it contains only empty directories."""
    with suppress(OSError):  # an earlier run left files in it
        directory.metadata.rmdir()
    if not os.path.lexists(directory.metadata):
        for path in (directory.path / "metrics", directory.path / "artifacts", directory.path):
            with suppress(OSError):
                path.rmdir()
