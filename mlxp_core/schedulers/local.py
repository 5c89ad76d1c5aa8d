"""This machine, for want of a batch system: the same scripts, run here by submitit's local executor."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mlxp_core.commands import end_script, run_script
from mlxp_core.config.options import LocalOptions
from mlxp_core.interrupts import TERMINAL_SIGNALS, interrupts_blocked
from mlxp_core.jobs.script import Job, job_script
from mlxp_core.runs.directory import RunDirectory

if TYPE_CHECKING:
    import submitit

_POLL_INTERVAL_S = 0.05
# How long a run that is told to end may take to note that
_PATIENCE_S = 5
# submitit ends a job after this time, and has no value for "never": ten years
_NO_LIMIT_MIN = 60 * 24 * 3650


class LocalScheduler:
    """Runs job scripts on this machine, some at a time."""

    def __init__(self, options: LocalOptions) -> None:
        self.options = options
        self.waiting: list[int] = []  # indexes of the runs that have not started

    @property
    def n_jobs(self) -> int:
        """How many runs at a time: the option, or the number of cores that this process may use."""
        return self.options.n_jobs or len(os.sched_getaffinity(0))

    def check(self, job: Job) -> None:
        """Nothing that a file system can hold is refused."""

    def script(self, job: Job) -> str:
        """The text of a job's script."""
        more = ["\"hydra.job.id='${SUBMITIT_LOCAL_JOB_ID:-by-hand}'\""]
        return job_script(job, self.options, more_overrides=more)

    def run(self, runs: Sequence[RunDirectory], folder: Path) -> Iterator[tuple[int, int]]:
        """Run the scripts of runs; yield the index and the exit status of each when it ends.

        Args:
            runs: in the order in which they start.
            folder: for submitit's own files; removed at the end.

        When the caller stops early (an error, Ctrl-C), those that run are ended too.
        """
        import submitit

        executor = submitit.LocalExecutor(folder)
        executor.update_parameters(timeout_min=_NO_LIMIT_MIN)
        gpus = os.environ.get("CUDA_VISIBLE_DEVICES")
        self.waiting = waiting = list(range(len(runs)))
        running: dict[int, submitit.Job[int]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.n_jobs:
                    index = waiting.pop(0)
                    run = runs[index]
                    files = (run.script, run.stdout, run.stderr, folder / f"{index}.pid")
                    with interrupts_blocked(TERMINAL_SIGNALS):
                        running[index] = executor.submit(run_script, self.options.shell, *files, gpus)
                time.sleep(_POLL_INTERVAL_S)
                for index in [index for index, task in running.items() if task.done()]:
                    yield index, _exit_status(running.pop(index))
        finally:
            for index in running:
                end_script(folder / f"{index}.pid")
            end = time.monotonic() + _PATIENCE_S
            while time.monotonic() < end and not all(task.done() for task in running.values()):
                time.sleep(_POLL_INTERVAL_S)
            shutil.rmtree(folder, ignore_errors=True)


def _exit_status(task: submitit.Job[int]) -> int:
    """A finished job's exit status; -1 when submitit's own process was killed and nobody knows."""
    return task.result() if task.exception() is None else -1
