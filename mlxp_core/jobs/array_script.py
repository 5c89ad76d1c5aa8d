"""The text of the script that one request hands to a scheduler for many runs.

It holds no run's own words: beside it, in the request's directory, the link N leads to the directory of run N, or the
directory N holds the links to the runs that share job N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlxp_core.jobs.script import Job, shell_word


@dataclass(frozen=True)
class Array:
    """Runs that one request hands over.

    Attributes:
        directory: the request's own, absolute.
        name: the job's name, if the user gave one.
        jobs: one for each run, in their order.
        runs_per_job: so many of them share a job.
        parallel_runs: of these, so many at the same time.
        array_parallelism: runs at the same time, at most; None for no limit.
    """

    directory: Path
    name: str | None
    jobs: Sequence[Job]
    runs_per_job: int
    parallel_runs: int
    array_parallelism: int | None

    @property
    def tasks(self) -> int:
        """How many jobs the scheduler makes of it."""
        return -(-len(self.jobs) // self.runs_per_job)

    @property
    def parallel_tasks(self) -> int | None:
        """How many of them run at the same time, at most; None for no limit."""
        return None if self.array_parallelism is None else self.array_parallelism // self.parallel_runs

    @property
    def params(self) -> Path:
        """A file with a line for each task, for schedulers that read the tasks' arguments from one."""
        return self.directory / "params"

    @property
    def default_name(self) -> str:
        """The name of the first run, and where the last one ends: `logs/5-16`."""
        first, last = self.jobs[0].run.path, self.jobs[-1].run.path
        name = self.jobs[0].default_name
        return f"{name}-{last.name}" if first.parent == last.parent and first != last else name


def array_script(
    array: Array,
    shell: str,
    *,
    directives: Sequence[str],
    index: str,
    setup: Sequence[str] = (),
    attempt: str = "",
) -> str:
    """The script of an array.

    Args:
        array: the runs.
        shell: that reads this script and those of the runs.
        directives: whole lines for the scheduler.
        index: the shell word by which a task knows its number.
        setup: shell lines before all others; `here` is the request's directory, `task` the task's.
        attempt: the options of `python -m mlxp_core.jobs.requeue_wrapper`, shell words, for jobs that may start again.
    """
    comment = "# Task N of this array is the run that the link N in the directory of this script leads to."
    start = [f'exec {shell_word(shell)} "$task"/script.sh']
    if array.runs_per_job > 1:
        info = array.jobs[0].run.info.relative_to(array.jobs[0].run.path)
        comment = (
            f"# Task N of this array is the runs that the links in the directory N lead to: {array.runs_per_job}, "
            f"{array.parallel_runs} at a time."
        )
        start = [
            "# A run that fails does not stop the others; one that completed is not run again with its job.",
            f"cd \"$task\" && seq 0 {array.runs_per_job - 1} | xargs -P {array.parallel_runs} -I '{{}}' sh -c '",
            '    [ -L "$1" ] || exit 0',
            '    if grep -qs "^status: COMPLETE" "$1/$2"; then exit 0; fi',
            '    "$3" "$1"/script.sh >> "$1"/log.stdout 2>> "$1"/log.stderr || exit 1',
            f"' sh '{{}}' {shell_word(str(info))} {shell_word(shell)}",
        ]
        if attempt:
            start = [
                "# A run that fails does not stop the others; one that completed is not run again with its job.",
                f"cd / && exec {shell_word(array.jobs[0].app.argv[0])} -m mlxp_core.jobs.requeue_wrapper {attempt} \\",
                f'    --directory "$task" --info {shell_word(str(info))} '
                f"--shell {shell_word(shell)} --parallel {array.parallel_runs}",
            ]
    lines = [f"here={shell_word(str(array.directory))}", comment, f'task="$here"/{index}', *setup, *start]
    return "\n".join([f"#!{shell}", *directives, "", *lines, ""])
