"""The README's tutorial: its commands run, and print what it shows, on the real OAR and the real SLURM."""

from __future__ import annotations

import os
import pwd
import re
from pathlib import Path
from typing import NamedTuple

import pexpect
import pytest

from tests.clusters import REPOSITORY, Cluster
from tests.programs import App

# What a user answers, at the end of the line of a question
_QUESTION = re.compile(r"^(.*(?:Please enter|Which files).*: )(.*)$")
# The tutorial is on OAR; the same on SLURM
_SLURM = {"OARScheduler": "SLURMScheduler", "oarstat": "squeue --me", "oarsub -S": "sbatch"}


class Step(NamedTuple):
    """One command of the tutorial, and the lines that it prints, answers behind their questions."""

    command: str
    output: list[str]


def steps() -> list[Step]:
    """The tutorial's commands, in order."""
    (tutorial,) = re.findall(
        r"^## Tutorial$(.*?)^## ", (REPOSITORY / "README.md").read_text(), re.DOTALL | re.MULTILINE
    )
    found: list[Step] = []
    for block in re.findall(r"^```console\n(.*?)^```", tutorial, re.DOTALL | re.MULTILINE):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], []))
            else:
                found[-1].output.append(line)
    return found


def shape(line: str) -> str:
    """A line as a pattern: blanks count once, and what differs from time to time may be anything."""

    def word_shape(word: str) -> str:
        if set(word) == {"━"}:
            return "━+"
        fixed = re.fullmatch(r"logs/\d+(-\d+)?|[a-z.]+=[^/]+", word) or not re.search(r"\d|/home/", word)
        return re.escape(word) if fixed else r"\S+"

    return r"\s+".join(map(word_shape, line.split()))


def run(step: Step, app: App) -> str:
    """Type a command, and the answers that the tutorial gives; what was shown."""
    user = pwd.getpwnam(app.user or "root")

    def become() -> None:
        os.initgroups(user.pw_name, user.pw_gid)
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)

    bin_dir = str(Path(app.python).parent)
    terminal = pexpect.spawn(
        "bash",
        ["-c", step.command],
        cwd=str(app.directory),
        env={**app.environment, "PATH": f"{bin_dir}:{app.environment['PATH']}", "TERM": "xterm", "NO_COLOR": "1"},
        encoding="utf-8",
        timeout=180,
        dimensions=(50, 120),
        preexec_fn=become,
    )
    shown = ""
    for line in step.output:
        if question := _QUESTION.match(line):
            terminal.expect_exact(question[1])
            shown += str(terminal.before) + str(terminal.after)
            terminal.sendline(question[2])
    terminal.expect(pexpect.EOF)
    shown += str(terminal.before)
    terminal.close()
    assert terminal.exitstatus == 0, f"{step.command}\n{shown}"
    plain = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", shown).replace("\r\n", "\n")
    return "\n".join(line.rpartition("\r")[2] for line in plain.split("\n"))  # what a bar showed in the end


def check(step: Step, shown: str, own_words: list[str]) -> None:
    """All lines of the tutorial are there, in their order."""
    place = 0
    for line in step.output:
        if line.strip() in ("", "...") or any(word in line for word in own_words):
            continue
        found = re.compile(shape(line)).search(shown, place)
        assert found, f"{step.command}\nnot shown (any more): {line}\n{shown}"
        place = found.end()


@pytest.mark.once
def test_the_tutorial(scheduler: Cluster) -> None:
    app = scheduler.example("tutorial")
    app.environment.update(dict.fromkeys(("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), "A Student"))
    app.environment.update(dict.fromkeys(("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL"), "student@example.org"))
    record = os.environ.get("RECORD_TUTORIAL")
    ended: list[str] = []
    for step in steps():
        command, own_words = step.command, ["\0"]
        if scheduler.launcher == "slurm":
            own_words = ["#OAR", "OAR_JOB_ID", "ADMISSION RULE", "OARScheduler", "Job id", "----", "oarstat"]
            for oars, slurms in _SLURM.items():
                command = command.replace(oars, slurms)
                step = step._replace(output=[re.sub(rf": {oars}$", f": {slurms}", line) for line in step.output])
            step = step._replace(output=[line.replace(" to OAR:", " to SLURM:") for line in step.output])
        step = step._replace(command=command)
        shown = run(step, app)
        new = [job_id for job_id in scheduler.job_ids(app) if job_id not in ended]
        scheduler.wait(new, timeout_s=300)
        ended += new
        if record:
            with Path(record).open("a") as file:
                file.write(f"$ {step.command}\n{shown}\n")
        if "oarstat" not in step.command and "squeue" not in step.command:
            check(step, shown, own_words)
