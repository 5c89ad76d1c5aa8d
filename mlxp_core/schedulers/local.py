"""This machine in the place of a batch system: it runs the same scripts, several at a time."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress

from mlxp_core.commands import Process, end_sessions, start_session
from mlxp_core.config.options import LocalOptions
from mlxp_core.console import notify_if_slow
from mlxp_core.interrupts import interrupts_deferred
from mlxp_core.jobs.record_end import record_exit_status
from mlxp_core.jobs.script import Job, job_script
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import RunStatus, read_info
from mlxp_core.runs.ranks import as_first_process
from mlxp_core.runs.starts import BY_HAND, start_of_script

_JOB_ID = "MLXP_LOCAL_JOB_ID"
_POLL_INTERVAL_S = 0.05
# Exit status of a shell that cannot start a program
_NOT_STARTED = 127
# Time between SIGTERM and SIGKILL for interrupted runs, in which they also record their end
_KILL_GRACE_S = 10


class LocalScheduler:
    """Runs job scripts on this machine, several at a time.

    Attributes:
        waiting: Indexes of the runs that have not started.
    """

    def __init__(self, options: LocalOptions) -> None:
        self.options = options
        self.waiting: list[int] = []

    @property
    def n_jobs(self) -> int:
        """Maximum number of concurrent runs: the option, or the number of cores that this process may use."""
        if self.options.n_jobs:
            return self.options.n_jobs
        # macOS does not have it
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def check(self, job: Job) -> None:
        """Accept every job."""

    def script(self, job: Job) -> str:
        """Return the text of a job's script."""
        return job_script(job, self.options, job_id=f"${{{_JOB_ID}:-{BY_HAND}}}")

    def run(
        self, runs: Sequence[RunDirectory], before_start: Callable[[int, str], None] | None = None
    ) -> Generator[tuple[int, int], None, None]:
        """Return a generator that runs the scripts of runs and yields the index and exit status of each as it ends.

        `waiting` is valid at once; the first run starts with the iteration. Before the generator ends early (Ctrl-C,
        `close`), it ends the runs that have started, with everything that they started.

        Args:
            runs: Directories of the runs, in the order of their starts.
            before_start: Called with the index and the job id of each run just before it starts. After an OSError the
                run is not started.
        """
        self.waiting = list(range(len(runs)))
        return self._run(runs, before_start)

    def _run(
        self, runs: Sequence[RunDirectory], before_start: Callable[[int, str], None] | None
    ) -> Generator[tuple[int, int], None, None]:
        running: dict[int, Process] = {}
        # An interrupt between the start of a script and its entry in `running` would leave the script behind
        with interrupts_deferred() as interrupt_here:
            try:
                while self.waiting or running:
                    interrupt_here()
                    while self.waiting and len(running) < self.n_jobs:
                        index = self.waiting.pop(0)
                        job_id = f"{os.getpid()}_{index}"
                        try:
                            if before_start is not None:
                                before_start(index, job_id)
                            running[index] = self._start(runs[index], job_id)
                        except OSError as error:
                            _record_failed_start(runs[index], error)
                            yield index, _NOT_STARTED
                    time.sleep(_POLL_INTERVAL_S)
                    for index in [index for index, process in running.items() if process.poll() is not None]:
                        yield index, _exit_status(running.pop(index))
            finally:
                if running:
                    with notify_if_slow(f"Ending the runs; after {_KILL_GRACE_S} s they are killed."):
                        end_sessions([*running.values()], _KILL_GRACE_S)
                for index, process in running.items():
                    _record_end(runs[index], process.pid, _exit_status(process))

    def _start(self, run: RunDirectory, job_id: str) -> Process:
        argv = [self.options.shell, str(run.script)]
        environment = {**as_first_process(os.environ), _JOB_ID: job_id}
        return start_session(argv, env=environment, stdout=run.stdout, stderr=run.stderr)


def _exit_status(process: Process) -> int:
    """The exit status as a shell gives it, 128 + n for signal n."""
    status = process.returncode
    if status is None:  # it hangs in the kernel
        return 128 + signal.SIGKILL
    return status if status >= 0 else 128 - status


def _record_end(run: RunDirectory, process_id: int, exit_status: int) -> None:
    """Record the end of a run whose script was killed before it did so.

    Args:
        run: Directory of the run.
        process_id: Id of the process of its script.
        exit_status: Exit status of the script.
    """
    # A full disk or a damaged record must not hide why the runs are ended
    with suppress(Exception):
        info = read_info(run.info)
        if info.get("status") in (RunStatus.STARTING, RunStatus.RUNNING):
            record_exit_status(run.info, exit_status, start_of_script(info, process_id))


def _record_failed_start(run: RunDirectory, error: OSError) -> None:
    with suppress(OSError), run.stderr.open("a", encoding="utf-8") as log:
        log.write(f"mlxp: {run.script} cannot be started: {error}\n")
    _record_end(run, os.getpid(), _NOT_STARTED)
