"""What a job script becomes where its job may start again (hydra.launcher.max_requeues): what the scheduler signals.

    python -m mlxp_core.jobs.requeue_wrapper OPTIONS -- COMMAND     one run
    python -m mlxp_core.jobs.requeue_wrapper OPTIONS                those that share a job

The application keeps its terminal, its standard input and its exit status. The signal is passed on to it: it may save
its work, and a program that does not know the signal is ended by it. A run that was told and did not complete has its
job started again; one that failed by itself meanwhile, by an exception, is a failure.
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

from mlxp_core.commands import run_command
from mlxp_core.errors import CommandError, MlxpError, RunDirectoryError
from mlxp_core.jobs.child_programs import Child, Children
from mlxp_core.jobs.record_end import EXIT_STATUS, is_of, record_exit_status
from mlxp_core.runs.info import RunStatus, read_info, requeued, requeues, write_info

BY_HAND = "by-hand"
# Set for runs that share a job, which is not theirs to have started again
_SHARED = "MLXP_SHARED_JOB"
# SLURM's commands give up after about 10 s
_TRIES, _PAUSE_S = 3, 3


class Attempt:
    """One attempt of a job.

    Args:
        options: of the command line.
        programs: that it runs.
        parallel: so many at a time.
        final_signal: the signal that ends one which goes on after it was told.
        patience_s: how long that may take, in seconds.
    """

    def __init__(
        self,
        options: Namespace,
        programs: Sequence[Child],
        parallel: int,
        final_signal: signal.Signals = signal.SIGTERM,
        patience_s: int = 5,
    ) -> None:
        self._options = options
        self._start_time = time.time()
        self._is_shared = _SHARED in os.environ
        self._requeues = max((requeues(read_info(child.info), options.job) for child in programs), default=0)
        # When nothing starts it again, a program that goes on has the rest of the time
        seconds = None if self._is_shared or self._why_not() else options.seconds
        self.children = Children(
            programs,
            parallel,
            signal_name=options.signal,
            seconds=seconds,
            final_signal=final_signal,
            patience_s=patience_s,
        )

    def interrupted(self, child: Child) -> bool:
        """Whether a program was told and did not complete, and it was no failure of its own."""
        info = read_info(child.info)
        has_failed = info.get("status") == RunStatus.FAILED and info["error"]["type"] != EXIT_STATUS
        return child.told and child.status != 0 and not (has_failed and is_of(info, int(self._start_time)))

    def starts_again(self, programs: Sequence[Child]) -> bool:
        """Have the job started again for the sake of some programs; their logs say so, or why it is not.

        A run's record says that it waits before the scheduler is asked: SLURM ends this process when it agrees.
        """
        if self._is_shared or self.children.ended:
            return False
        why_not = self._why_not()
        if not why_not:
            before = [(child.info, read_info(child.info)) for child in programs]
            try:
                for path, info in before:
                    write_info(path, requeued(info, self._options.job))
                why_not = self._ask()
                if why_not:
                    for path, info in before:
                        write_info(path, info)
            except RunDirectoryError as error:
                why_not = f"because its record cannot say so: {error}"
        what = f"starts again ({self._requeues + 1} of {self._options.requeues})."
        if why_not:
            what = f"does not start again, {why_not}"
        signal_name = self._options.signal
        message = f"mlxp: The time is nearly over ({signal_name}), and the run did not complete: its job {what}\n"
        for child in programs:
            if child.log is None:
                print(message, end="", file=sys.stderr)
            else:
                with suppress(OSError), (child.log / "log.stderr").open("a", encoding="utf-8") as log:
                    log.write(message)
        return not why_not

    def _why_not(self) -> str:
        """Why the job cannot start again; empty when it can."""
        if self._options.job == BY_HAND:
            return "because it was started by hand."
        if self._requeues >= self._options.requeues:
            return f"because of hydra.launcher.max_requeues={self._options.requeues}; submit script.sh again to go on."
        return ""

    def _ask(self) -> str:
        """Ask for another start; say why it is refused."""
        if self._options.exit_status:
            time.sleep(max(0, self._start_time + self._options.after + 2 - time.time()))
            return ""
        argv = [*shlex.split(self._options.command), self._options.job]
        for _ in range(_TRIES):
            try:
                answer = run_command(argv, timeout_s=30)
                if answer.exit_status == 0:
                    return ""
                text = answer.text
            except CommandError as error:
                text = str(error)
            time.sleep(_PAUSE_S)
            if self.children.ended:  # by the scheduler, which agreed and ended the command with all others
                return ""
        return f"because '{shlex.join(argv)}' failed ({text}); submit script.sh again to go on."


def run_one(options: Namespace) -> int:
    """One run: pass the signal on to the application, record its end, and return its exit status."""
    os.chdir(options.directory)
    os.environ["PWD"] = options.directory
    child = Child(options.words, Path(options.info))
    attempt = Attempt(options, [child], 1)
    attempt.children.run()
    assert child.status is not None
    if attempt.interrupted(child) and attempt.starts_again([child]):
        return options.exit_status or child.status
    record_exit_status(child.info, child.status, options.start)
    return child.status


def run_several(options: Namespace) -> int:
    """The runs that share a job, without those that completed; one that fails does not stop the others."""
    links = sorted(Path(options.directory).glob("[0-9]*"), key=lambda link: int(link.name))
    runs = [
        Child([options.shell, str(link / "script.sh")], link / options.info, link)
        for link in links
        if read_info(link / options.info).get("status") != RunStatus.COMPLETE
    ]
    # Each has a program like this one around its application, which SIGALRM lets end that
    attempt = Attempt(options, runs, options.parallel, signal.SIGALRM, 10)
    os.environ[_SHARED] = "yes"
    attempt.children.run()
    left = [run for run in runs if run.status is None or attempt.interrupted(run)]
    if attempt.children.told and left and attempt.starts_again(left):
        return options.exit_status or 1
    return int(any(run.status != 0 for run in runs))


def _parsed(words: Sequence[str]) -> Namespace:
    """The command line of this module; what is behind `--` is the application's."""
    parser = ArgumentParser(prog="mlxp_core.jobs.requeue_wrapper")
    parser.add_argument("--signal", help="that tells of the time limit, e.g. USR2")
    parser.add_argument("--seconds", type=int, help="that the application has after the signal")
    parser.add_argument("--requeues", type=int, help="how often the job starts again, at most")
    parser.add_argument("--job", help="what the scheduler calls the job in all its attempts")
    parser.add_argument("--command", help="is given the job, and starts it again")
    parser.add_argument("--exit-status", type=int, default=0, help="with which the job starts again")
    parser.add_argument("--after", type=int, default=0, help="seconds that it must have run for that")
    parser.add_argument("--directory", help="where the application starts, or where the links to the runs are")
    parser.add_argument("--info", help="the run's record; of several runs, its place in their directories")
    parser.add_argument("--start", type=int, help="when the script started, in seconds since the epoch")
    parser.add_argument("--shell", help="that reads the scripts of several runs")
    parser.add_argument("--parallel", type=int, help="so many of them at a time")
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
