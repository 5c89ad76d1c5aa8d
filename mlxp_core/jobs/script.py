"""The text of a job script: one run, complete, readable, and able to run by hand from any directory."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlxp_core.config.options import LauncherOptions, lines_of
from mlxp_core.runs.directory import RunDirectory

if TYPE_CHECKING:
    from mlxp_core.jobs.app_command import AppCommand

# Set in every script, for the run and all that it starts: a run must not launch runs.
RUN_MARKER = "MLXP_RUN_DIR"

_LINE_BREAK = '"$newline"'


@dataclass(frozen=True)
class Job:
    """One run as a scheduler sees it.

    Attributes:
        name: the job's name, if the user gave one.
        run: where it runs.
        app: how the application is started.
        overrides: what is added to that command, in groups that the script shows a line each.
    """

    name: str | None
    run: RunDirectory
    app: AppCommand
    overrides: tuple[tuple[str, ...], ...]

    @property
    def default_name(self) -> str:
        """The last two parts of the run directory, e.g. `logs/5`."""
        return "/".join(self.run.path.parts[-2:])


def job_script(
    job: Job,
    options: LauncherOptions,
    *,
    directives: Sequence[str] = (),
    setup: Sequence[str] = (),
    prefix: Sequence[str] = (),
    more_overrides: Sequence[str] = (),
    inherits_environment: bool = True,
    attempt: str = "",
) -> str:
    """The script of a job.

    Args:
        job: the run.
        options: the shell, and the user's lines before the command.
        directives: whole lines for the scheduler, which must come first.
        setup: shell lines before all others.
        prefix: shell words before the command.
        more_overrides: shell words behind it.
        inherits_environment: whether the job sees the variables of the process that submits it.
        attempt: the options of `python -m mlxp_core.jobs.requeue_wrapper`, shell words, for a job that may start again.
    """
    environment = job.app.environment if inherits_environment else {**job.app.environment, **job.app.env_copy}
    python, *arguments = map(shell_word, job.app.argv)
    command = [" ".join([*prefix, python, *arguments])]
    command += [" ".join(map(shell_word, group)) for group in job.overrides if group]
    command[-1] = " ".join([command[-1], *more_overrides])
    user_lines = [
        line
        for name in ("shell_config_cmd", "cleanup_cmd", "env_cmd")
        for line in lines_of(name, getattr(options, name))
    ]
    info = shell_word(str(job.run.info.relative_to(job.run.path)))
    start = [
        "# From here the application's own exit status counts.",
        "trap 'record_end $?' EXIT; trap : HUP INT TERM USR1 USR2",
    ]
    if attempt:
        start = [
            "# From here the application's own exit status counts; it is told when the time is nearly over.",
            f"cd / && exec {python} -m mlxp_core.jobs.requeue_wrapper {attempt} \\",
            f'    --directory "$OLDPWD" --info "${RUN_MARKER}"/{info} --start "$start_time" -- \\',
        ]
    body = [
        *setup,
        f"export {RUN_MARKER}={shell_word(str(job.run.path))}",
        "start_time=$(date +%s)",
        "# However the run ends, also by a signal, its record says so.",
        f'record_end() {{ cd / && {python} -m mlxp_core.jobs.record_end "${RUN_MARKER}"/{info} "$1" "$start_time"; }}',
        "trap 'record_end $?' EXIT",
        "trap 'exit 129' HUP; trap 'exit 130' INT; trap 'exit 143' TERM; trap 'exit 138' USR1; trap 'exit 140' USR2",
        *(f"export {name}={shell_word(value)}" for name, value in environment.items()),
        *(["", *user_lines] if user_lines else []),
        "",
        f"cd {shell_word(str(job.app.cwd))} || exit",
        *start,
        " \\\n    ".join(command),
    ]
    if any(_LINE_BREAK in line for line in body):
        body.insert(0, "newline='\n'")
    return "\n".join([f"#!{options.shell}", *directives, "", *body, ""])


def shell_word(text: str) -> str:
    """`text` as one word of a POSIX shell, with no line break in it.

    OAR takes every line of a script that begins with `#OAR` for a directive, so that a value with a line break could
    forge one; a script with such a value sets the variable `newline` first.
    """
    return _LINE_BREAK.join(map(shlex.quote, text.split("\n")))
