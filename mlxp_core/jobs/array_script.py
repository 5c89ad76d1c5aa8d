"""The text of an array script: one submission request for many runs.

It contains nothing of a single run. In the request's directory, next to the script, the link N leads to the directory
of run N; where runs share jobs, the directory N contains the links to the runs of job N.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlxp_core.jobs.script import Job, shell_word
from mlxp_core.runs.starts import REQUEST


@dataclass(frozen=True)
class Array:
    """The runs of one submission request.

    Attributes:
        directory: Directory of the request, absolute.
        name: Name of the job, if the user chose one.
        jobs: The runs, in order.
        runs_per_job: Number of runs that share a job.
        parallel_runs: Maximum number of concurrent runs in a job.
        array_parallelism: Maximum number of concurrent runs in the array; None for no limit.
    """

    directory: Path
    name: str | None
    jobs: Sequence[Job]
    runs_per_job: int
    parallel_runs: int
    array_parallelism: int | None

    @property
    def tasks(self) -> int:
        """Number of tasks: each is one job for the scheduler."""
        return -(-len(self.jobs) // self.runs_per_job)

    @property
    def parallel_tasks(self) -> int | None:
        """Maximum number of concurrent tasks; None for no limit."""
        return None if self.array_parallelism is None else self.array_parallelism // self.parallel_runs

    @property
    def params(self) -> Path:
        """File with one line of arguments for each task, for schedulers that read such a file."""
        return self.directory / "params"

    @property
    def default_name(self) -> str:
        """The name of the first run and the number of the last one: `logs/5-16`."""
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
    requeue_options: str = "",
) -> str:
    """Return the script of an array.

    Args:
        array: The runs.
        shell: Shell that runs this script and those of the runs.
        directives: Directives of the scheduler with their prefix.
        index: Shell word that expands to the index of a task.
        setup: Shell lines before the command. The variable `here` is the directory of the request, `task` the link or
            the directory of the task.
        requeue_options: Options of `python -m mlxp_core.jobs.requeue_wrapper` as shell words, for jobs that can be
            requeued.
    """
    comment = "# Task N of this array runs N/script.sh; N is a link to a run directory."
    start = [f'exec {shell_word(shell)} "$task"/script.sh']
    if array.runs_per_job > 1:
        info = array.jobs[0].run.info.relative_to(array.jobs[0].run.path)
        comment = (
            f"# Task N of this array runs the scripts of the {array.runs_per_job} runs linked in the directory N, "
            f"{array.parallel_runs} at a time."
        )
        start = [
            "# A run that fails does not stop the others. If the job is requeued, completed runs are skipped.",
            f"cd \"$task\" && seq 0 {array.runs_per_job - 1} | xargs -P {array.parallel_runs} -I '{{}}' sh -c '",
            '    [ -L "$1" ] || exit 0',
            '    if grep -qs "^status: COMPLETE" "$1/$2"; then exit 0; fi',
            '    "$3" "$1"/script.sh >> "$1"/log.stdout 2>> "$1"/log.stderr || exit 1',
            f"' sh '{{}}' {shell_word(str(info))} {shell_word(shell)}",
        ]
        if requeue_options:
            python = shell_word(array.jobs[0].app.argv[0])
            start = [
                "# A run that fails does not stop the others. If the job is requeued, completed runs are skipped.",
                f"cd / && exec {python} -m mlxp_core.jobs.requeue_wrapper {requeue_options} \\",
                f'    --directory "$task" --info {shell_word(str(info))} '
                f"--shell {shell_word(shell)} --parallel {array.parallel_runs}",
            ]
    here = [f"here={shell_word(str(array.directory))}", f'export {REQUEST}="$here"']
    lines = [*here, comment, f'task="$here"/{index}', *setup, *start]
    return "\n".join([f"#!{shell}", *directives, "", *lines, ""])
