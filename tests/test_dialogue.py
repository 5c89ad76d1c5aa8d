"""The questions of mlxp_versioning, as a user at a terminal sees them."""

from __future__ import annotations

import os
import shlex
import signal
from collections.abc import Iterator

import pexpect
import pytest

from tests.projects import COPY, Project, option
from tests.support.processes import wait_until
from tests.terminals import Terminal

CALLBACK = "hydra/callbacks=[mlxp_logging,mlxp_versioning]"
UNTRACKED = "[Untracked files]: Please enter your choice (a/b/c): "
UNCOMMITTED = "[Uncommitted changes]: Please enter your choice (a/b/c/d): "
RUN_FROM = "Please enter your answer (a/b): "
WHICH = "Which files? (all, or names separated by commas): "


@pytest.fixture
def project(project: Project) -> Iterator[Project]:
    """A project with a changed file and an untracked one."""
    project.write("answer.py", "VALUE = 2\n")
    project.write("notes.txt", "x" * 1200)
    yield project
    assert not (project.root / ".git" / "index.lock").exists()


def test_the_whole_dialogue(project: Project) -> None:
    terminal = Terminal(project, "-m", "x=1,2", CALLBACK)
    assert terminal.until(UNTRACKED).endswith(  # Hydra 1.4 warns first, of version_base in the application
        "There are untracked files in the repository:\n\n"
        "tutorial/notes.txt (1.2 kB)\n\n"
        "How would you like to handle untracked files? (a/b/c)\n\n"
        "a: Add untracked files directly from here?\n"
        "b: Check again for untracked files (assuming you manually added them).\n"
        "c: Ignore untracked files.\n\n"
    )
    assert terminal.answer("c", UNCOMMITTED) == (
        "There are uncommitted changes in the repository:\n\n"
        "tutorial/answer.py\n\n"
        "How would you like to handle uncommitted changes? (a/b/c/d)\n\n"
        "a: Create a new automatic commit before launching jobs.\n"
        "b: Check again for uncommitted changes (assuming you manually committed them).\n"
        "c: Ignore uncommitted changes.\n"
        "d: Keep them for this launch only: run them without committing to your branch.\n\n"
    )
    shown = terminal.answer("a", RUN_FROM)
    short = project.git("rev-parse", "--short", "HEAD")
    copy = project.directory / ".workdir" / "my project" / project.head
    assert shown == (
        "Committing changes....\n\n"
        f"[main {short}] MLXP: Automatically committing all changes\n"
        " 1 file changed, 1 insertion(+), 1 deletion(-)\n\n"
        "No more uncommitted changes!\n\n"
        "Where would you like to run your code from? (a/b):\n\n"
        "a: Create a copy of the repository based on the latest commit and execute code from there.\n"
        f"The copy will be created in {copy}\n"
        "b: Execute code from the main repository\n\n"
    )
    status, shown = terminal.end("a")
    assert status == 0
    assert shown.startswith(f"Creating a copy of the repository at {copy}\n")
    assert shown.count("a line on stdout") == 2
    assert [seen["answer"] for seen in project.seen()] == [[2, str(copy / "tutorial" / "answer.py")]] * 2
    assert project.git("status", "--porcelain") == "?? tutorial/notes.txt"


@pytest.mark.once
def test_keep_with_files_chosen(project: Project) -> None:
    project.write("wanted, too.py", "")
    project.write("wanted.py", "")
    before = project.state()
    terminal = Terminal(project, CALLBACK)
    terminal.until(UNTRACKED)
    terminal.answer("a", WHICH)
    assert terminal.answer("no such", WHICH) == "Not in the list: no such. 'all' adds all files.\n"
    terminal.answer("tutorial/wanted, too.py", UNTRACKED)
    terminal.answer("a", WHICH)
    terminal.answer("tutorial/wanted.py", UNTRACKED)
    shown = terminal.answer("c", UNCOMMITTED)
    assert "\ntutorial/answer.py\ntutorial/wanted, too.py\ntutorial/wanted.py\n\n" in shown
    terminal.answer("d", RUN_FROM)
    assert terminal.end("a")[0] == 0
    assert {file.name for file in (project.copies()[0] / "tutorial").glob("*.*")} == {
        *("main.py", "answer.py", "wanted.py", "wanted, too.py"),
    }
    after = project.state()
    assert (before.head, before.status, before.index) == (after.head, after.status, after.index)
    assert project.records()[0]["version_manager"]["untracked"] == ["tutorial/notes.txt"]


@pytest.mark.once
def test_add_all_with_warnings(project: Project) -> None:
    project.write(".env", "TOKEN=1\n")
    with project.write("model/weights.bin", "").open("wb") as file:
        file.truncate(10_500_000)
    terminal = Terminal(project, CALLBACK)
    assert "tutorial/model/ (1 file, 10.5 MB)\n" in terminal.until(UNTRACKED)
    shown = terminal.answer("a", WHICH)
    assert shown == (
        "Warning: tutorial/.env looks like a secret.\nWarning: tutorial/model/weights.bin is large (10.5 MB).\n"
    )
    assert "No more untracked files!" in terminal.answer("all", UNCOMMITTED)
    assert terminal.child.isalive()
    assert project.git("diff", "--cached", "--name-only").split("\n") == [
        *("tutorial/.env", "tutorial/model/weights.bin", "tutorial/notes.txt"),
    ]
    assert terminal.answer("a", RUN_FROM).count("create mode") == 3
    assert terminal.end("b")[0] == 0
    assert project.records()[0]["version_manager"]["safe_copy"] is None


@pytest.mark.once
def test_check_again(project: Project) -> None:
    terminal = Terminal(project, CALLBACK)
    terminal.until(UNTRACKED)
    assert "notes.txt" in terminal.answer("b", UNTRACKED)
    project.git("add", "tutorial/notes.txt")
    assert "No more untracked files!" in terminal.answer("b", UNCOMMITTED)
    assert "answer.py" in terminal.answer("b", UNCOMMITTED)
    project.commit()
    assert "No more uncommitted changes!" in terminal.answer("b", RUN_FROM)
    assert terminal.end("a")[0] == 0
    assert project.records()[0]["version_manager"]["uncommitted"] == "none"


@pytest.mark.once
def test_an_unknown_answer_asks_again(project: Project) -> None:
    terminal = Terminal(project, CALLBACK)
    terminal.until(UNTRACKED)
    terminal.answer("", UNTRACKED)
    for answer in ("x", "ab", "yes please", "d"):
        assert terminal.answer(answer, UNTRACKED).endswith(f"Error: '{answer}' is not one of 'a', 'b', 'c'.\n")
    terminal.answer(" C ", UNCOMMITTED)
    assert terminal.answer("e", UNCOMMITTED) == "Error: 'e' is not one of 'a', 'b', 'c', 'd'.\n"
    terminal.answer("c", RUN_FROM)
    assert terminal.answer("c", RUN_FROM) == "Error: 'c' is not one of 'a', 'b'.\n"
    terminal.child.close(force=True)


@pytest.mark.once
def test_many_files(project: Project) -> None:
    for number in range(25):
        project.write(f"file{number:02}.py", "")
    terminal = Terminal(project, CALLBACK)
    shown = terminal.until(UNTRACKED)
    assert "tutorial/file19.py (0 bytes)\n... and 6 more\n\n" in shown
    assert "file20" not in shown
    terminal.child.close(force=True)


@pytest.mark.once
@pytest.mark.parametrize("how", ["Ctrl-C", "end of input", "SIGTERM", "lost terminal"])
@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_stopping(project: Project, how: str, after: int) -> None:
    """At whichever question the launch stops, nothing is launched, and the repository is as it was."""
    before = project.state()
    terminal = Terminal(project, CALLBACK)
    terminal.until(UNTRACKED)
    for answer, prompt in [("a", WHICH), ("all", UNCOMMITTED), ("d", RUN_FROM)][:after]:
        terminal.answer(answer, prompt)
    if how == "end of input":
        terminal.child.sendeof()
    else:
        terminal.interrupt({"Ctrl-C": signal.SIGINT, "SIGTERM": signal.SIGTERM, "lost terminal": signal.SIGHUP}[how])
    status, shown = terminal.end()
    assert status == 1
    assert "Nothing was launched." in shown
    assert "Traceback" not in shown
    assert "committed" not in shown
    assert project.state() == before
    assert project.runs() == []
    assert project.copies() == []


@pytest.mark.once
def test_stopping_after_a_commit_says_so(project: Project) -> None:
    terminal = Terminal(project, CALLBACK)
    terminal.until(UNTRACKED)
    terminal.answer("c", UNCOMMITTED)
    terminal.answer("a", RUN_FROM)
    terminal.interrupt()
    status, shown = terminal.end()
    assert status == 1
    short = project.git("rev-parse", "--short", "HEAD")
    assert f"Nothing was launched. The changes are already committed: [main {short}] MLXP: Auto" in shown
    assert project.runs() == []


@pytest.mark.once
def test_interrupted_while_committing(project: Project) -> None:
    """A commit that git is making is finished and reported; the added file is in it and stays in the index."""
    hook = project.root / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch '{project.root}/.git/in-hook'\nsleep 5\n")
    hook.chmod(0o755)
    terminal = Terminal(project, CALLBACK)
    terminal.until(UNTRACKED)
    terminal.answer("a", WHICH)
    terminal.answer("all", UNCOMMITTED)
    terminal.child.sendline("a")
    terminal.until("Committing changes....")
    wait_until((project.root / ".git" / "in-hook").exists)
    terminal.child.sendcontrol("c")
    status, shown = terminal.end()
    assert status == 1
    assert "Nothing was launched. The changes are already committed: [main" in shown
    assert project.git("status", "--porcelain") == ""
    assert project.git("show", "--name-only", "--format=").count("\n") == 1


@pytest.mark.once
def test_the_index_is_locked_at_the_undo(project: Project) -> None:
    terminal = Terminal(project, CALLBACK)
    terminal.until(UNTRACKED)
    terminal.answer("a", WHICH)
    terminal.answer("all", UNCOMMITTED)
    lock = project.root / ".git" / "index.lock"
    lock.touch()
    terminal.interrupt()
    status, shown = terminal.end()
    lock.unlink()
    assert status == 1
    assert "Interrupted. Nothing was launched. 1 added" in shown
    assert "1 added file stays staged, because another git process is at work in" in shown
    assert "Traceback" not in shown


@pytest.mark.once
@pytest.mark.parametrize("changed", [False, True])
def test_committed_in_another_terminal(project: Project, changed: bool) -> None:
    """What was added here and committed there stays committed, whether the launch stops or runs."""
    terminal = Terminal(project, CALLBACK)
    terminal.until(UNTRACKED)
    terminal.answer("a", WHICH)
    terminal.answer("all", UNCOMMITTED)
    project.commit()
    if changed:
        project.write("answer.py", "VALUE = 3\n")
        terminal.answer("b", UNCOMMITTED)
        terminal.answer("d", RUN_FROM)
        status, shown = terminal.end("a")
        assert status == 0
    else:
        terminal.answer("b", RUN_FROM)
        terminal.interrupt()
        status, shown = terminal.end()
        assert status == 1
    assert "staged" not in shown
    assert project.git("status", "--porcelain") == ("M tutorial/answer.py" if changed else "")


@pytest.mark.once
def test_two_dialogues_at_once(project: Project) -> None:
    """What the second commits stays committed when the first stops; the first leaves what the second staged."""
    first = Terminal(project, CALLBACK)
    first.until(UNTRACKED)
    first.answer("a", WHICH)
    first.answer("all", UNCOMMITTED)
    second = Terminal(project, CALLBACK)
    second.until(UNCOMMITTED)
    second.answer("a", RUN_FROM)
    committed = project.state()
    first.interrupt()
    status, shown = first.end()
    assert (status, "staged" in shown) == (1, False)
    assert project.state() == committed
    assert project.git("status", "--porcelain") == ""
    assert second.end("a")[0] == 0
    project.write("mine.txt", "")
    third, fourth = Terminal(project, CALLBACK), Terminal(project, CALLBACK)
    for terminal, name in ((third, "mine.txt"), (fourth, "more.txt")):
        terminal.until(UNTRACKED)
        project.write(name, "")
        terminal.answer("b", UNTRACKED)
        terminal.answer("a", WHICH)
        terminal.answer("all", UNCOMMITTED)
    third.interrupt()
    status, shown = third.end()
    assert "1 added file stays staged, because the index or HEAD of" in shown
    fourth.interrupt()
    fourth.end()
    assert project.git("status", "--porcelain") == "A  tutorial/mine.txt\n?? tutorial/more.txt"


@pytest.mark.once
@pytest.mark.parametrize("redirection", ["> out.log", "| cat > out.log"])
def test_redirected_output(project: Project, redirection: str) -> None:
    """The questions still appear on the terminal."""
    words = shlex.join([project.python, "main.py", CALLBACK])
    terminal = Terminal(project)
    terminal.child.close(force=True)
    terminal.child = pexpect.spawn(
        "sh", ["-c", f"{words} {redirection}"], cwd=str(project.directory), env=project.environment, encoding="utf-8"
    )
    assert "notes.txt (1.2 kB)" in terminal.until(UNTRACKED)
    terminal.answer("c", UNCOMMITTED)
    terminal.answer("d", RUN_FROM)
    terminal.end("a")
    assert "a line on stdout" in (project.directory / "out.log").read_text()
    assert "How would you like" not in (project.directory / "out.log").read_text()


@pytest.mark.once
def test_odd_names(project: Project) -> None:
    """File names cannot control the terminal; the copy has them unchanged."""
    names = ["two words.py", "é.py", "new\nline.py", "\x1b[31mred.py", '"quoted".py', "*.py"]
    for name in names:
        project.write(name, "")
    (project.directory / os.fsdecode(b"bytes\xff.py")).write_text("")
    terminal = Terminal(project, CALLBACK)
    shown = terminal.until(UNTRACKED)
    for line in ("two words.py", "é.py", "new\\nline.py", "\\x1b[31mred.py", '"quoted".py', "*.py", "bytes\\udcff.py"):
        assert f"tutorial/{line} (0 bytes)\n" in shown
    terminal.answer("a", WHICH)
    terminal.answer("all", UNCOMMITTED)
    terminal.answer("d", RUN_FROM)
    assert terminal.end("a")[0] == 0
    found = {os.fsencode(file.name) for file in (project.copies()[0] / "tutorial").glob("*.py")}
    assert found == {*(name.encode() for name in names), b"bytes\xff.py", b"main.py", b"answer.py"}


def test_no_terminal(project: Project) -> None:
    """Without a terminal the error names the options to set, and nothing is launched."""
    before = project.state()
    result = project.run(CALLBACK)
    assert result.status == 1
    assert result.stderr.endswith(
        "mlxp_versioning has a question, and there is no terminal to ask it on. Nothing was launched.\n"
        f"Untracked files in {project.root}: tutorial/notes.txt\n"
        f"Uncommitted files in {project.root}: tutorial/answer.py\n"
        "Set hydra.callbacks.mlxp_versioning.untracked to add, ignore or refuse, and "
        "hydra.callbacks.mlxp_versioning.uncommitted to commit, keep, ignore or refuse, and "
        "hydra.callbacks.mlxp_versioning.run_from to copy or repository. For example:\n"
        f"{' '.join(option(untracked='ignore', uncommitted='keep', run_from='copy'))}\n"
    )
    result = project.run("-m", *COPY, *option(untracked="add"), "x=1,2")
    assert result.status == 1
    assert "Set hydra.callbacks.mlxp_versioning.uncommitted to commit, keep, ignore or refuse. For" in result.stderr
    for name, kind, file in (("untracked", "untracked files", "notes.txt"), ("uncommitted", "uncommitted", "answer")):
        given = {"untracked": "ignore", "uncommitted": "ignore", name: "refuse"}
        result = project.run(*COPY, *option(**given))
        assert (result.status, kind in result.stderr, file in result.stderr) == (1, True, True)
    assert project.state() == before
    assert project.runs() == []
