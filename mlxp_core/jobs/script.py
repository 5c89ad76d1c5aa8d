"""The text of a job script: complete and readable, it runs one job, also by hand and from any directory."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlxp_core.config.options import LauncherOptions, lines_of
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.starts import JOB_ID, START

if TYPE_CHECKING:
    from mlxp_core.jobs.app_command import AppCommand

# Variable with the run directory, in the environment of each run: a run must not launch runs
RUN_MARKER = "MLXP_RUN_DIR"

# If the directory of the code does not exist, in double quotes
_GONE = """"mlxp: This run's code is gone. If it was a safe copy, 'mlxp resubmit' makes it again.\""""
_LINE_BREAK = '"$newline"'


@dataclass(frozen=True)
class Job:
    """One run as a scheduler sees it.

    Attributes:
        name: Name of the job, if the user chose one.
        run: Run directory.
        app: Command that starts the application.
        overrides: Overrides for that command, in groups; the script has a line for each group.
    """

    name: str | None
    run: RunDirectory
    app: AppCommand
    overrides: tuple[tuple[str, ...], ...]

    @property
    def default_name(self) -> str:
        """The last two parts of the run directory: `logs/5`."""
        return "/".join(self.run.path.parts[-2:])


def job_script(
    job: Job,
    options: LauncherOptions,
    *,
    job_id: str,
    directives: Sequence[str] = (),
    setup: Sequence[str] = (),
    prefix: Sequence[str] = (),
    more_overrides: Sequence[str] = (),
    inherits_environment: bool = True,
    requeue_options: str = "",
) -> str:
    """Return the script of a job.

    Args:
        job: The run.
        options: Options with the shell, and with the user's lines before the command.
        job_id: Shell text for the id of the job, `by-hand` outside of a job; it is put between double quotes.
        directives: Directives of the scheduler with their prefix; they come first.
        setup: Shell lines before all others.
        prefix: Shell words before the command.
        more_overrides: Shell words after the command's overrides.
        inherits_environment: Whether the job gets the environment of the process that submits it.
        requeue_options: Options of `python -m mlxp_core.jobs.requeue_wrapper` as shell words, for a job that can be
            requeued.
    """
    environment = job.app.environment if inherits_environment else {**job.app.environment, **job.app.env_copy}
    python, *arguments = map(shell_word, job.app.argv)
    command = [" ".join([*prefix, python, *arguments])]
    command += [" ".join(map(shell_word, group)) for group in job.overrides if group]
    command[-1] = " ".join([command[-1], f"\"hydra.job.id='${JOB_ID}'\"", *more_overrides])
    user_lines = [
        line
        for name in ("shell_config_cmd", "cleanup_cmd", "env_cmd")
        for line in lines_of(name, getattr(options, name))
    ]
    info = f'"${RUN_MARKER}"/{shell_word(str(job.run.info.relative_to(job.run.path)))}'
    cwd = shell_word(str(job.app.cwd))
    start = [
        "# The script exits with the application's exit status.",
        "trap 'record_end $?' EXIT; trap : HUP INT TERM USR1 USR2",
    ]
    if requeue_options:
        start = [
            "# The exit status is that of the application, which receives a signal when the time limit is near.",
            f"cd / && exec {python} -m mlxp_core.jobs.requeue_wrapper {requeue_options} \\",
            f'    --directory "$OLDPWD" --info {info} --start "${START}" -- \\',
        ]
    body = [
        *setup,
        f"export {RUN_MARKER}={shell_word(str(job.run.path))}",
        f'export {JOB_ID}="{job_id}"',
        f"export {START}=$(date +%s%N)-$$",
        "# Record how the run ends, even if a signal ends it. A run that completed has recorded its end itself.",
        "record_end() {",
        "    cd / || exit",
        f'    if [ "$1" = 0 ] && grep -qsx "completed_start: ${START}" {info}; then',
        f"        echo 'exit_status: 0' >> {info} && return",
        "    fi",
        f'    {python} -m mlxp_core.jobs.record_end {info} "$1" "${START}"',
        "}",
        "trap 'record_end $?' EXIT",
        "trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM; trap 'exit 138' USR1; trap 'exit 140' USR2",
        *(f"export {name}={shell_word(value)}" for name, value in environment.items()),
        *(["", *user_lines] if user_lines else []),
        "",
        f"cd {cwd} || {{ echo {_GONE} >&2; exit 1; }}",
        *start,
        " \\\n    ".join(command),
    ]
    if any(_LINE_BREAK in line for line in body):
        body.insert(0, "newline='\n'")
    return "\n".join([f"#!{options.shell}", *directives, "", *body, ""])


def shell_word(text: str) -> str:
    """Return `text` as one word of a POSIX shell, without a line break.

    OAR reads every line of a script that begins with `#OAR` as a directive, so a value with a line break could add one.
    A script with such a value sets the variable `newline` first.
    """
    return _LINE_BREAK.join(map(shlex.quote, text.split("\n")))
