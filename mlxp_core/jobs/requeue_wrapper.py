"""The program around the application in jobs that can be requeued (hydra.launcher.max_requeues).

    python -m mlxp_core.jobs.requeue_wrapper OPTIONS -- COMMAND     one run
    python -m mlxp_core.jobs.requeue_wrapper OPTIONS                several runs that share a job

Job scripts on disk contain these command lines: the name of this module and its options must not change.

The application keeps its terminal, its standard input and its exit status. When its time limit approaches, the wrapper
passes the scheduler's signal on, and the application can save its work; one without a handler is terminated by the
signal. If a notified run did not complete, the wrapper has its job requeued. A run that raised an exception failed, and
is not requeued.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlxp_core.commands import run_command
from mlxp_core.errors import CommandError, MlxpError, RunDirectoryError, RunRecordError
from mlxp_core.jobs.child_programs import ChildProgram, ChildPrograms
from mlxp_core.jobs.record_end import EXIT_STATUS, record_exit_status
from mlxp_core.runs.info import RunStatus, read_info, requeued, requeues, write_info
from mlxp_core.runs.start_lock import REFUSED
from mlxp_core.runs.starts import BY_HAND, JOB_ID, is_current, start_of_script

# Set for runs that share a job: only the job's own wrapper has it requeued
_SHARED = "MLXP_SHARED_JOB"
# SLURM's commands give up after about 10 s
_REQUEUE_TRIES = 3
_RETRY_INTERVAL_S = 3
_REQUEUE_TIMEOUT_S = 30


class RequeueWrapper:
    """One start of a job.

    Args:
        options: Command line of this program.
        programs: Programs of the job.
        parallel: Maximum number of concurrent programs.
        final_signal: Signal for a program that still runs at the end of its grace period.
        kill_grace_s: Time between that signal and SIGKILL, in seconds.
    """

    def __init__(
        self,
        options: Namespace,
        programs: Sequence[ChildProgram],
        parallel: int,
        final_signal: signal.Signals = signal.SIGTERM,
        kill_grace_s: int = 5,
    ) -> None:
        self._options = options
        self.start_time = time.time()
        self.is_shared = _SHARED in os.environ
        self._requeues = max((requeues(_read(program.info), options.job) for program in programs), default=0)
        # In a job that cannot be requeued, a notified program has the rest of the time
        grace_s = None if self.is_shared or self._why_not() else options.grace_s
        self.programs = ChildPrograms(
            programs,
            parallel,
            signal_name=options.signal,
            grace_s=grace_s,
            final_signal=final_signal,
            kill_grace_s=kill_grace_s,
        )

    def was_interrupted(self, program: ChildProgram) -> bool:
        """Whether a program was notified and did not complete, without an exception of its own."""
        info = _read(program.info)
        has_failed = info.get("status") == RunStatus.FAILED and info["error"]["type"] != EXIT_STATUS
        own_failure = has_failed and is_current(info, self._start_of(program))
        return program.notified and program.exit_status not in (0, REFUSED) and not own_failure

    def record_end(self, program: ChildProgram) -> None:
        """Record the end of a program that has started."""
        if program.exit_status is None:
            return
        try:
            record_exit_status(
                program.info, program.exit_status, self._start_of(program), os.environ.get(JOB_ID, self._options.job)
            )
        except Exception as error:  # a full disk, a damaged record: the exit status is still the application's
            print(f"mlxp: The end of the run cannot be recorded. {error}", file=sys.stderr)

    def _start_of(self, program: ChildProgram) -> str:
        """Return the id of a program's start: that of the script around this process, or of the program, a script."""
        return str(self._options.start or start_of_script(_read(program.info), program.process_id or os.getpid()))

    def requeue(self, programs: Sequence[ChildProgram]) -> bool:
        """Have the job requeued, and say in the logs of these programs that it is, or why not; return whether it is.

        The runs' records say so before the scheduler is asked: SLURM ends this process when it agrees.
        """
        if self.programs.stopped:
            return False
        why_not = self._why_not()
        if not why_not:
            try:
                before = [(program.info, read_info(program.info)) for program in programs]
                for path, info in before:
                    write_info(path, requeued(info, self._options.job))
                why_not = self._ask()
                if why_not:
                    for path, info in before:
                        write_info(path, info)
            except (RunDirectoryError, RunRecordError) as error:
                why_not = f"its record cannot be updated. {error}"
        outcome = f"its job is requeued ({self._requeues + 1} of {self._options.max_requeues})."
        if why_not:
            outcome = f"its job is not requeued: {why_not}"
        signal_name = self._options.signal
        message = f"mlxp: The time limit is near ({signal_name}) and the run did not complete: {outcome}\n"
        for program in programs:
            if program.log is None:
                print(message, end="", file=sys.stderr)
            else:
                with suppress(OSError), (program.log / "log.stderr").open("a", encoding="utf-8") as log:
                    log.write(message)
        return not why_not

    def _why_not(self) -> str:
        """Why the job cannot be requeued; empty if it can."""
        if self._options.job == BY_HAND:
            return "it was started by hand."
        if self._requeues >= self._options.max_requeues:
            limit = self._options.max_requeues
            return f"hydra.launcher.max_requeues={limit} is reached; submit script.sh again to continue."
        return ""

    def _ask(self) -> str:
        """Ask the scheduler to requeue the job; return why it does not, empty if it does."""
        if self._options.exit_status:
            time.sleep(max(0, self.start_time + self._options.min_runtime_s + 2 - time.time()))
            return ""
        argv = [*shlex.split(self._options.command), self._options.job]
        for _ in range(_REQUEUE_TRIES):
            try:
                answer = run_command(argv, timeout_s=_REQUEUE_TIMEOUT_S)
                if answer.exit_status == 0:
                    return ""
                text = answer.text
            except CommandError as error:
                text = str(error)
            time.sleep(_RETRY_INTERVAL_S)
            if self.programs.stopped:  # the scheduler agreed and ended the job, and the command with it
                return ""
        return f"'{shlex.join(argv)}' failed ({text}); submit script.sh again to continue."


def run_one(options: Namespace) -> int:
    """Run the application, record its end unless its job is requeued, and return the exit status of the job.

    Of a run that shares a job and was interrupted, the job's own wrapper records the end, when it knows whether the job
    is requeued. A launch that waits for results would otherwise take the run for failed.
    """
    os.chdir(options.directory)
    os.environ["PWD"] = options.directory
    program = ChildProgram(options.words, Path(options.info))
    wrapper = RequeueWrapper(options, [program], 1)
    wrapper.programs.run()
    assert program.exit_status is not None
    if wrapper.was_interrupted(program):
        if wrapper.is_shared:
            return program.exit_status
        if wrapper.requeue([program]):
            return options.exit_status or program.exit_status
    wrapper.record_end(program)
    return program.exit_status


def run_several(options: Namespace) -> int:
    """Run the scripts of runs that share a job, except those that completed; return the exit status of the job.

    A run that fails does not stop the others.
    """
    links = sorted(Path(options.directory).glob("[0-9]*"), key=lambda link: int(link.name))
    runs = [
        ChildProgram([options.shell, str(link / "script.sh")], link / options.info, link)
        for link in links
        if _read(link / options.info).get("status") != RunStatus.COMPLETE
    ]
    # Each has a wrapper of its own around its application, which SIGALRM makes end the application
    wrapper = RequeueWrapper(options, runs, options.parallel, signal.SIGALRM, 10)
    os.environ[_SHARED] = "yes"
    wrapper.programs.run()
    left = [run for run in runs if run.exit_status is None or wrapper.was_interrupted(run)]
    if wrapper.programs.notified and left and wrapper.requeue(left):
        return options.exit_status or 1
    for run in left:
        wrapper.record_end(run)
    return int(any(run.exit_status != 0 for run in runs))


def _read(path: Path) -> dict[str, Any]:
    """Return a run's record, an empty one if it is damaged: the job has other runs, and an exit status of its own."""
    try:
        return read_info(path)
    except RunRecordError as error:
        print(f"mlxp: {error}", file=sys.stderr)
        return {}


def _parsed(words: Sequence[str]) -> Namespace:
    """The options of this module; `words` is the application's command line, after `--`."""
    parser = ArgumentParser(prog="mlxp_core.jobs.requeue_wrapper")
    parser.add_argument("--signal", help="signal that the scheduler sends when the time limit is near: USR2")
    parser.add_argument("--grace-s", type=int, help="time that the application has after the signal, in seconds")
    parser.add_argument("--max-requeues", type=int, help="maximum number of requeues")
    parser.add_argument("--job", help=f"id of the job, the same after a requeue; {BY_HAND} outside of a job")
    parser.add_argument("--command", help="command that requeues the job, given its id")
    parser.add_argument("--exit-status", type=int, default=0, help="exit status that requeues the job")
    parser.add_argument("--min-runtime-s", type=int, default=0, help="time after which that status has this effect")
    parser.add_argument("--directory", help="directory of the application, or of the links to the runs")
    parser.add_argument("--info", help="record of the run; with several runs, its path in their directories")
    parser.add_argument("--start", help="id of the script's start; with several runs, each script has its own")
    parser.add_argument("--shell", help="shell that runs the scripts of several runs")
    parser.add_argument("--parallel", type=int, help="maximum number of concurrent runs")
    end = words.index("--") if "--" in words else len(words)
    options = parser.parse_args(words[:end])
    options.words = list(words[end + 1 :])
    return options


if __name__ == "__main__":
    parsed = _parsed(sys.argv[1:])
    try:
        sys.exit(run_one(parsed) if parsed.words else run_several(parsed))
    except MlxpError as error:
        sys.exit(f"mlxp: {error}")
