"""The only place that starts other programs; git alone is started by GitPython (versioning/git_command.py)."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlxp_core.errors import CommandNotFoundError, CommandTimeoutError
from mlxp_core.interrupts import TERMINAL_SIGNALS

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a program said: `exit_status` as the shell gives it, its output as text."""

    argv: tuple[str, ...]
    exit_status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Both outputs, as a user would see them."""
        return "\n".join(part.strip() for part in (self.stdout, self.stderr) if part.strip())


def run_command(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout_s: float
) -> Answer:
    """Run a program without a shell and wait for its answer, whatever its exit status.

    Raises:
        CommandNotFoundError: there is no such program.
        CommandTimeoutError: no answer within `timeout_s` seconds. The program is told to stop, but one that runs as
            another user (oarsub does) cannot be stopped by us and may still do its work.
    """
    log.debug("running %s", shlex.join(argv))
    try:
        process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
        )
    except FileNotFoundError:
        raise CommandNotFoundError(f"The command '{argv[0]}' is not on this machine.") from None
    try:
        stdout, stderr = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        with suppress(PermissionError):
            process.kill()
            process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe:
                pipe.close()
        raise CommandTimeoutError(f"'{shlex.join(argv)}' did not answer within {timeout_s:g} s.") from None
    return Answer(tuple(argv), process.returncode, stdout, stderr)


def run_recorded(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    answer: Path,
    keep_open: Sequence[int] = (),
    still_waiting: Callable[[float], None],
) -> Answer:
    """Run a program that writes its answer into a file, so that it is not lost when this process is killed meanwhile.

    The program runs in a session of its own: what ends the terminal does not end it half-way.

    Args:
        answer: the file; both outputs go there.
        keep_open: file descriptors that stay open in the program.
        still_waiting: called with the seconds that have passed, about every second, until the program has ended; what
            it raises leaves the program alone.

    Raises:
        CommandNotFoundError: there is no such program.
    """
    log.debug("running %s", shlex.join(argv))
    start = time.monotonic()
    with answer.open("wb") as file:
        try:
            process = subprocess.Popen(
                argv,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                pass_fds=tuple(keep_open),
                start_new_session=True,
            )
        except FileNotFoundError:
            raise CommandNotFoundError(f"The command '{argv[0]}' is not on this machine.") from None
    while True:
        try:
            status = process.wait(timeout=1)
            break
        except subprocess.TimeoutExpired:
            still_waiting(time.monotonic() - start)
    return Answer(tuple(argv), status, answer.read_text(encoding="utf-8", errors="replace"), "")


def start_program(argv: Sequence[str], log: Path | None) -> int:
    """Start a program here and return its process id; whoever starts it waits for it.

    What this process catches of signals, and what Python ignores, has its usual effect there.

    Args:
        argv: its words.
        log: the directory to whose log.stdout and log.stderr its output is appended; None for this process's own.

    Raises:
        OSError: it cannot be started.
    """
    how = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    names = () if log is None else ((1, log / "log.stdout"), (2, log / "log.stderr"))
    files = [(os.POSIX_SPAWN_OPEN, number, str(file), how, 0o666) for number, file in names]
    defaults = [signal.SIGPIPE, signal.SIGXFSZ]
    return os.posix_spawnp(argv[0], list(argv), os.environ, file_actions=files, setsigdef=defaults)


def become(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
    """Replace this process by another program in the directory `cwd`; does not return."""
    log.debug("becoming %s", shlex.join(argv))
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it may be closed
            stream.flush()
    os.chdir(cwd)
    os.execve(argv[0], list(argv), dict(env))


def first_environment() -> dict[str, str]:
    """The variables that this process was started with, without what it set since; as far as the system tells."""
    try:
        entries = os.fsdecode(Path("/proc/self/environ").read_bytes()).split("\0")
    except OSError:
        entries = []
    found = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    # setproctitle writes its titles over that memory
    return found if os.environ.keys() & found.keys() >= {"PATH"} else dict(os.environ)


def run_script(shell: str, script: Path, stdout: Path, stderr: Path, pid_file: Path, gpus: str | None) -> int:
    """Run a job script here, its output appended to two files, and return its exit status (128 + n for signal n).

    Args:
        shell: the program that reads the script.
        pid_file: is given the script's process id, for `end_script`.
        gpus: CUDA_VISIBLE_DEVICES in the process that launched (None: not set). submitit's local executor, in whose
            child process this function runs, hides all GPUs from a job that asked it for none.
    """
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    if gpus is not None:
        environment["CUDA_VISIBLE_DEVICES"] = gpus
    with stdout.open("ab") as out, stderr.open("ab") as err:
        # A session of its own, so that the script and all that it starts can be ended together
        process = subprocess.Popen(
            [shell, str(script)],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
            preexec_fn=_unblock_interrupts,
        )
        whole = pid_file.with_suffix(".new")
        whole.write_text(str(process.pid))
        whole.replace(pid_file)
        status = process.wait()
    return status if status >= 0 else 128 - status


def _unblock_interrupts() -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, TERMINAL_SIGNALS)


def end_script(pid_file: Path) -> None:
    """Tell a script that `run_script` started, and all that it started, to end; it notes that in its record."""
    with suppress(FileNotFoundError, ProcessLookupError):
        os.killpg(int(pid_file.read_text()), signal.SIGTERM)
