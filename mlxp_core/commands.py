"""The only module that starts other programs, except git: GitPython starts that (versioning/git_command.py)."""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlxp_core.errors import CommandError, CommandNotFoundError, CommandTimeoutError

log = logging.getLogger(__name__)

# What `start_session` returns
Process = subprocess.Popen[bytes]

_POLL_INTERVAL_S = 0.05
# After SIGKILL only a program that hangs in the kernel (a dead file server) stays
_KILL_TIMEOUT_S = 5


@dataclass(frozen=True)
class Answer:
    """The answer of a program that ended: its exit status (-n when signal n killed it) and its output."""

    argv: tuple[str, ...]
    exit_status: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """Both outputs, as a terminal would show them."""
        return "\n".join(part.strip() for part in (self.stdout, self.stderr) if part.strip())


def run_command(
    argv: Sequence[str], *, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout_s: float
) -> Answer:
    """Run a program without a shell and return its answer, whatever its exit status.

    Raises:
        CommandNotFoundError: There is no such program.
        CommandTimeoutError: It did not end within `timeout_s` seconds. It is killed, unless it runs as another user
            (oarsub does): then it may still do its work.
        CommandError: It cannot be started for another reason.
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
    except OSError as error:
        raise _cannot_start(argv[0], error) from None
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
    """Run a program that writes its answer into a file, where the answer survives the death of this process.

    The program runs in a session of its own, so that closing the terminal does not end it halfway.

    Args:
        argv: Words of the command.
        env: Environment of the program.
        answer: File for both outputs of the program.
        keep_open: File descriptors that the program inherits.
        still_waiting: Callback that gets the elapsed seconds about every second until the program ends. An exception
            that it raises ends the wait, and not the program.

    Raises:
        CommandNotFoundError: There is no such program.
        CommandError: It cannot be started for another reason.
        OSError: The file cannot be written.
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
        except OSError as error:
            answer.unlink()  # an empty answer would mean that the program was started
            raise _cannot_start(argv[0], error) from None
    while True:
        try:
            status = process.wait(timeout=1)
            break
        except subprocess.TimeoutExpired:
            still_waiting(time.monotonic() - start)
    return Answer(tuple(argv), status, answer.read_text(encoding="utf-8", errors="replace"), "")


def _cannot_start(program: str, error: OSError) -> CommandError:
    if isinstance(error, FileNotFoundError):
        return CommandNotFoundError(f"The command '{program}' is not on this machine.")
    return CommandError(f"The command '{program}' cannot be started: {error.strerror}.")


def start_program(argv: Sequence[str], log: Path | None) -> int:
    """Start a program in this session and return its process id; the caller has to wait for it.

    Signals that this process catches, and those that Python ignores, have their default effect in the program.

    Args:
        argv: Words of the command.
        log: Directory with the files log.stdout and log.stderr, to which the output is appended; None for the output
            of this process.

    Raises:
        OSError: The program cannot be started.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    names = () if log is None else ((1, log / "log.stdout"), (2, log / "log.stderr"))
    files = [(os.POSIX_SPAWN_OPEN, number, str(file), flags, 0o666) for number, file in names]
    defaults = [signal.SIGPIPE, signal.SIGXFSZ]
    return os.posix_spawnp(argv[0], list(argv), os.environ, file_actions=files, setsigdef=defaults)


def start_session(argv: Sequence[str], *, env: Mapping[str, str], stdout: Path, stderr: Path) -> Process:
    """Start a program in a session of its own, its output appended to two files; `end_sessions` ends it.

    Raises:
        OSError: The program cannot be started, or a file cannot be written.
    """
    log.debug("starting %s", shlex.join(argv))
    with stdout.open("ab") as out, stderr.open("ab") as err:
        return subprocess.Popen(argv, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True)


def end_sessions(processes: Sequence[Process], grace_s: float) -> None:
    """End programs of `start_session` with everything that they started, except what made a session of its own.

    Args:
        processes: Programs to end.
        grace_s: Time between SIGTERM and SIGKILL, in seconds.
    """
    end = time.monotonic() + grace_s
    _signal_groups(_live_groups(processes), signal.SIGTERM)
    while groups := _live_groups(processes):
        if time.monotonic() > end:
            _signal_groups(groups, signal.SIGKILL)
        if time.monotonic() > end + _KILL_TIMEOUT_S:
            log.warning("cannot be killed: process groups %s", sorted(groups))
            return
        time.sleep(_POLL_INTERVAL_S)


def _live_groups(processes: Sequence[Process]) -> set[int]:
    """The process groups with a live process in the sessions of these programs."""
    groups = {process.pid for process in processes if process.poll() is None}
    sessions = {process.pid for process in processes}
    for stat in Path("/proc").glob("[0-9]*/stat"):  # only Linux has them
        with suppress(OSError):
            # The name, in parentheses, may hold anything; proc(5)
            state, _, group, session = stat.read_text(errors="replace").rpartition(")")[2].split()[:4]
            if int(session) in sessions and state not in "ZX":
                groups.add(int(group))
    return groups


def _signal_groups(groups: Iterable[int], number: signal.Signals) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def become(argv: Sequence[str], *, cwd: Path, env: Mapping[str, str]) -> None:
    """Replace this process with another program in the directory `cwd`."""
    log.debug("becoming %s", shlex.join(argv))
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # it may be closed
            stream.flush()
    os.chdir(cwd)
    os.execve(argv[0], list(argv), dict(env))


def first_environment() -> dict[str, str]:
    """Return the environment that this process was started with; the current one where the system does not keep it."""
    try:
        entries = os.fsdecode(Path("/proc/self/environ").read_bytes()).split("\0")
    except OSError:
        entries = []
    found = dict(entry.split("=", 1) for entry in entries if "=" in entry)
    # setproctitle overwrites that memory with its titles
    return found if os.environ.keys() & found.keys() >= {"PATH"} else dict(os.environ)
