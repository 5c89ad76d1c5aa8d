"""The commands on a page of the documentation and what they print: read, run, compared, and recorded again.

A block of type `console` holds commands (`$ ...`, continued after a backslash) and their output. A line `...` stands
for lines that are left out, once in an output. The reader's answers stand behind their questions. A command in an HTML
comment, `<!-- $ ... -->`, is run and not shown; `<!-- ls.svg $ ... -->` also draws what it shows in the end. A block in
a tab, `:::{tab-item} OAR`, is for that scheduler only.
"""

from __future__ import annotations

import io
import os
import pwd
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pexpect

from tests.clusters import REPOSITORY
from tests.programs import App

# What a user answers, at the end of the line of a question
_QUESTION = re.compile(r"^(.*(?:Please enter|Which files|\(y/n\)).*: )(.*)$")
_LEFT_OUT = "..."
# Seconds that one command may take: a run that is requeued takes ten minutes
_COMMAND_TIMEOUT_S = 1200
_QUESTION_TIMEOUT_S = 600


@dataclass
class Step:
    """One command of a page.

    Attributes:
        command: Shell command.
        scheduler: Scheduler that the command is for, in capitals; empty for all.
        output: Lines that the page shows, answers behind their questions.
        end: Line of the page at which the output ends; None for a command that the page does not show.
        picture: File in `docs/` for what the command shows.
    """

    command: str
    scheduler: str
    output: list[str] = field(default_factory=list)
    end: int | None = None
    picture: str | None = None


def read_steps(text: str) -> list[Step]:
    """Return the commands of a page, in order."""
    steps: list[Step] = []
    scheduler, in_block = "", False
    for number, line in enumerate(text.splitlines()):
        if tab := re.fullmatch(r":::+\{tab-item\} (\w+)", line):
            scheduler = tab[1]
        elif not in_block and re.fullmatch(r":::+", line):
            scheduler = ""
        elif hidden := re.fullmatch(r"<!-- (?:(\w+\.svg) )?\$ (.*) -->", line):
            steps.append(Step(hidden[2], scheduler, picture=hidden[1]))
        elif line == "```console":
            in_block = True
        elif line == "```":
            in_block = False
        elif in_block and line.startswith("$ "):
            steps.append(Step(line[2:], scheduler, end=number + 1))
        elif in_block and steps[-1].command.endswith("\\"):
            steps[-1].command += f"\n{line}"
            steps[-1].end = number + 1
        elif in_block:
            steps[-1].output.append(line)
            steps[-1].end = number + 1
    return steps


def run_step(step: Step, app: App) -> str:
    """Type a command and the answers that the page gives; return what the terminal showed in the end."""
    terminal = _start(step.command, app, columns=110, NO_COLOR="1")
    shown = ""
    for line in step.output:
        if question := _QUESTION.match(line):
            # Its last word: the others may change, and `check` looks at them
            terminal.expect_exact(f"{question[1].split()[-1]} ", timeout=_QUESTION_TIMEOUT_S)
            shown += str(terminal.before) + str(terminal.after)
            terminal.sendline(question[2])
    shown += _rest(terminal)
    assert step.output or step.end is None or terminal.exitstatus == 0, f"{step.command}\n{shown}"
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown).replace("\r\n", "\n")
    return "\n".join(line.rpartition("\r")[2] for line in plain.split("\n"))  # what a bar showed in the end


def draw_step(step: Step, app: App) -> None:
    """Draw what a command shows on a terminal with colors; a table that changes is drawn as it is in the end."""
    from rich.console import Console
    from rich.text import Text

    command = re.sub(r"timeout -s INT \d+ ", "", step.command)
    shown = _rest(_start(step.command, app, columns=130))
    last = re.split(r"(?:\x1b\[1A\x1b\[2K)+", shown)[-1].replace("\r\n", "\n").rstrip()
    console = Console(record=True, width=130, file=io.StringIO(), highlight=False)
    console.print(f"$ {command}", Text.from_ansi(_anonymous(last, app)), sep="\n")
    console.save_svg(str(REPOSITORY / "docs" / str(step.picture)), title=command)


def _start(command: str, app: App, *, columns: int, **environment: str) -> pexpect.spawn[str]:
    user = pwd.getpwnam(app.user or "root")

    def become() -> None:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)

    path = f"{Path(app.python).parent}:{app.environment['PATH']}"
    return pexpect.spawn(
        "bash",
        ["-c", command],
        cwd=str(app.directory),
        env={**app.environment, "PATH": path, "TERM": "xterm-256color", **environment},
        encoding="utf-8",
        timeout=_COMMAND_TIMEOUT_S,
        dimensions=(50, columns),
        preexec_fn=become,
    )


def _rest(terminal: pexpect.spawn[str]) -> str:
    terminal.expect(pexpect.EOF)
    terminal.close()
    return str(terminal.before)


def check(step: Step, shown: str) -> None:
    """Assert that a terminal showed all lines of the page, in their order; only runs may end in any order."""
    place = 0
    for line in step.output:
        if line.strip() in ("", _LEFT_OUT):
            continue
        ends_a_run = line.lstrip().startswith(("COMPLETE", "FAILED"))
        found = re.compile(_shape(line)).search(shown, 0 if ends_a_run else place)
        assert found, f"{step.command}\nnot shown: {line}\n{shown}"
        place = max(place, found.end())


def _shape(line: str) -> str:
    """Return a line as a pattern: blanks count once, and words that differ from run to run match any word."""

    def word_shape(word: str) -> str:
        if set(word) <= {"━", "─"}:  # a bar or a line of a table
            return f"{word[0]}+"
        fixed = re.fullmatch(r"logs/\d+(-\d+)?|[a-z.]+=[^/]+", word) or not re.search(r"\d|/home/", word)
        return re.escape(word) if fixed else r"\S+"

    return r"\s+".join(map(word_shape, line.split()))


def record(page: Path, steps: Sequence[Step], shown: Sequence[str], app: App) -> None:
    """Write what commands printed into their page, with as many lines before and after `...` as there were."""
    lines = page.read_text().splitlines()
    for step, text in reversed(list(zip(steps, shown, strict=True))):
        if step.end is not None:
            new = [line.rstrip() for line in _anonymous(text, app).rstrip().lstrip("\n").splitlines()]
            if _LEFT_OUT in step.output:
                head = step.output.index(_LEFT_OUT)
                tail = len(step.output) - head - 1
                if len(new) > head + tail:
                    new = [*new[:head], _LEFT_OUT, *new[len(new) - tail :]]
            lines[step.end - len(step.output) : step.end] = new
    page.write_text("\n".join([*lines, ""]))


def _anonymous(text: str, app: App) -> str:
    """Return a text with the names of a user's machine instead of the test's."""
    for old, new in (
        (str(Path(app.python).parent.parent), "/home/me/.venv"),
        (str(app.directory.parent), "/home/me"),
        (f" {app.user}"[:9] + " ", f" {'me':>{min(8, len(app.user or ''))}} "),  # a column of squeue or oarstat
        (str(app.user), "me"),
    ):
        text = text.replace(old, new)
    return text
