"""Programs started by forking a warmed Python (see `fork_server`), in place of 0.5 s of imports for each start."""

from __future__ import annotations

import atexit
import json
import os
import pwd
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

_SERVER = Path(__file__).with_name("fork_server.py")
# The interpreters whose programs may start in this way: what is installed in them does not change during the tests
PYTHONS = {sys.executable}
# What an interpreter reads when it starts, besides PYTHON...
_LOCALE = ("LANG", "LC_")


class Warm:
    """A server for one interpreter, and the variables that it reads when it starts."""

    def __init__(self, python: str, own: Mapping[str, str]) -> None:
        self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [python, str(_SERVER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**own, "PATH": os.environ["PATH"], "HOME": "/nonexistent"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,  # pipes, as the programs have
                stderr=subprocess.PIPE,
            )
        self.is_possible = self._control.recv(16) == b"ready"
        atexit.register(self._end)

    def _end(self) -> None:
        self._control.close()
        self._process.communicate()

    def run(
        self,
        argv: Sequence[str],
        directory: Path,
        environment: Mapping[str, str],
        user: str | None,
        timeout_s: float,
    ) -> tuple[int, str, str]:
        """Run a program to its end; its exit status, its output and its errors."""
        account = pwd.getpwnam(user) if user else None
        umask = os.umask(0)
        os.umask(umask)
        request = {
            "argv": list(argv),
            "directory": str(directory),
            "environment": dict(environment),
            "user": account and (account.pw_uid, account.pw_gid),
            "umask": umask,
        }
        channel, theirs = socket.socketpair()
        (out, out_end), (errors, errors_end) = os.pipe(), os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        ends = (nothing, out_end, errors_end, theirs.detach())
        socket.send_fds(self._control, [b"start"], ends)
        for end in ends:
            os.close(end)
        with channel, channel.makefile("r") as answers:
            channel.sendall(f"{json.dumps(request)}\n".encode())
            process = int(answers.readline())
            try:
                texts = _read([out, errors], timeout_s)
                channel.settimeout(timeout_s)
                return int(answers.readline()), *texts
            except TimeoutError as error:
                os.kill(process, signal.SIGKILL)
                raise subprocess.TimeoutExpired(argv, timeout_s) from error
            finally:
                os.close(out)
                os.close(errors)


def _read(files: Sequence[int], timeout_s: float) -> tuple[str, str]:
    """Read files to their ends, as they are written."""
    end = time.monotonic() + timeout_s
    parts: dict[int, list[bytes]] = {file: [] for file in files}
    with selectors.DefaultSelector() as selector:
        for file in files:
            selector.register(file, selectors.EVENT_READ)
        while selector.get_map():
            ready = selector.select(max(end - time.monotonic(), 0))
            if not ready:
                raise TimeoutError
            for key, _ in ready:
                if part := os.read(key.fd, 65536):
                    parts[key.fd].append(part)
                else:
                    selector.unregister(key.fd)
    first, second = (b"".join(parts[file]).decode().replace("\r\n", "\n").replace("\r", "\n") for file in files)
    return first, second


_servers: dict[tuple[str, ...], Warm] = {}
_lock = threading.Lock()


def warm(argv: Sequence[str], environment: Mapping[str, str]) -> Warm | None:
    """The server that starts this program as a real start would; None where only a real start does."""
    python, *words = argv
    if python not in PYTHONS or not words or words[0].startswith("-") or "TEST_REAL_STARTS" in os.environ:
        return None
    own = {name: value for name, value in environment.items() if name.startswith(("PYTHON", *_LOCALE))}
    if not {*own.items()} <= {*os.environ.items(), ("LANG", "C.UTF-8")} or "PYTHONPATH" in own:
        return None
    with _lock:
        key = (python, *(f"{name}={value}" for name, value in own.items()))
        server = _servers.get(key) or _servers.setdefault(key, Warm(python, own))
    return server if server.is_possible else None
