"""What the directory of a run holds before the run starts: its script and its first record."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from mlxp_core.job_script import Job
from mlxp_core.plan import Plan, Run
from mlxp_core.run_directory import RunDirectory, read_if_there, write_whole
from mlxp_core.run_info import new_info, write_info


class RunFiles:
    """Writes the directories of runs, and takes back those of runs that are not launched.

    Args:
        plan: what is launched.
        scheduler: the name of the scheduler's class.
        script: the text of a job's script.
        wait_here: whether the runs wait in this process until it starts them; their records name it then.
    """

    def __init__(self, plan: Plan, scheduler: str, script: Callable[[Job], str], *, wait_here: bool = False) -> None:
        self._plan = plan
        self._wait_here = wait_here
        self._scheduler = scheduler
        self._script = script
        # What a file held before we wrote it
        self._replaced: dict[Path, bytes | None] = {}

    def write(self, run: Run) -> None:
        """Complete a run's directory; from the submission on it belongs to the job.

        Raises:
            RunDirectoryError: it cannot be written.
        """
        directory = run.directory
        for file in (directory.script, directory.info, directory.job_return):
            self._replaced[file] = read_if_there(file)
        if self._replaced[directory.job_return] is not None:
            directory.job_return.unlink()
        write_whole(directory.script, self._script(run.job), mode=0o777)
        plan = self._plan
        info = new_info(
            directory,
            scheduler=self._scheduler,
            work_dir=str(plan.app.cwd),
            executable=plan.app.start[0],
            main_file=plan.main_file,
            version=plan.version,
        )
        if self._wait_here:
            info |= {"hostname": socket.gethostname(), "process_id": os.getpid()}
        write_info(directory.info, info)

    def take_back(self, runs: Sequence[Run]) -> None:
        """Leave the directories of runs that are not launched as they were."""
        for directory in [run.directory for run in runs]:
            for file in (directory.script, directory.info, directory.job_return):
                old = self._replaced.get(file)
                with suppress(OSError):
                    if old is not None:
                        file.write_bytes(old)
                    elif file in self._replaced:
                        file.unlink()
            remove_if_empty(directory)


def remove_if_empty(directory: RunDirectory) -> None:
    """Remove a run's directory when nothing but other empty directories is in it."""
    with suppress(OSError):  # it is an older run's, and holds something
        directory.metadata.rmdir()
    if not os.path.lexists(directory.metadata):
        for path in (directory.path / "metrics", directory.path / "artifacts", directory.path):
            with suppress(OSError):
                path.rmdir()
