"""What the first process of a run passes on to the others: its run directory, and the version of the code.

Processes that the first one starts find its directory in their environment. The others read a file, which the first
process writes and keeps locked: the file of an earlier start with the same port is not locked.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlxp_core import console
from mlxp_core.errors import RunDirectoryError
from mlxp_core.files import cannot_write
from mlxp_core.runs.ranks import deciding_variable, is_first_process, process_number, start_of_all, world_size
from mlxp_core.runs.start_lock import is_locked
from mlxp_core.runs.starts import this_process

# Directory of the files, below that of the runs or of the safe copies
DIRECTORY = ".ranks"
# Variable with the id of the process that set it and the directory of its run
_PARENT = "MLXP_FIRST_PROCESS"
_TIMEOUT_S = 600.0
_POLL_INTERVAL_S = 0.1
# Files that are not locked and older than this are removed
_KEPT_S = 86400
_MAX_OPEN_FILES = 64
# After this time a process says what it waits for
_SILENT_S = 20
# Difference of the clocks of two hosts, in seconds
_CLOCK_SLACK_S = 5

# The descriptor of each file that this process has written, which holds its lock
_written: dict[Path, int] = {}


def set_run_of_children(directory: Path | None) -> None:
    """Tell the processes that this one starts, as Lightning does, the directory of its run; None if it has ended."""
    os.environ.pop(_PARENT, None)
    if directory is not None:
        os.environ[_PARENT] = f"{os.getpid()}:{directory}"


def run_of_parent(environ: Mapping[str, str]) -> Path | None:
    """Return the run directory of the process that started this one as a further process of its run; None else."""
    process_id, _, directory = environ.get(_PARENT, "").partition(":")
    is_child = process_id == str(os.getppid()) and not is_first_process(environ)
    return Path(directory) if is_child else None


def publish(root: Path, name: str, value: object) -> None:
    """Pass a value on to the other processes of the run, if there may be others.

    Args:
        root: Directory that all processes see.
        name: Name of the value.
        value: The value, as JSON has it; None if the others have to stop. It replaces an earlier one.

    Raises:
        RunDirectoryError: The file cannot be written.
    """
    path, _ = _file(root, name)
    if path is None or world_size(os.environ) == 1:
        return
    temporary = path.with_name(f".{path.name}.{os.urandom(4).hex()}")
    try:
        if not path.parent.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent / ".gitignore").write_text("*\n")
        if not _written:
            _remove_old(path.parent)
        # The lock outlives the exec into a safe copy
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        os.set_inheritable(descriptor, True)
        with suppress(OSError):  # a file system without locks
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(descriptor, json.dumps({**_moment(), "value": value}).encode())
        temporary.replace(path)
    except OSError as error:
        raise cannot_write(path, error) from error
    if (old := _written.pop(path, None)) is not None:
        os.close(old)
    _written[path] = descriptor
    if len(_written) > _MAX_OPEN_FILES:  # of the first jobs of a sweep
        os.close(_written.pop(next(iter(_written))))


def received(root: Path, name: str, what: str, timeout_s: float | None = None) -> Any:
    """Wait for a value of the first process, and return it.

    Args:
        root: Directory that all processes see.
        name: Name of the value.
        what: What it is, for messages: `has not chosen a run directory`.
        timeout_s: Longest time to wait, in seconds.

    Raises:
        RunDirectoryError: The first process stopped, or is late, or nothing names the start of this run.
    """
    path, is_unique = _file(root, name)
    variable = deciding_variable(os.environ)
    rank = f"{variable}={process_number(os.environ)}"
    if path is None:
        raise RunDirectoryError(
            f"{rank} says that this is not the first process of its run, but nothing names the run: MASTER_ADDR and "
            f"MASTER_PORT are not set. Unset {variable} if this process is a run of its own."
        )
    timeout_s = _TIMEOUT_S if timeout_s is None else timeout_s
    begin, told = time.monotonic(), False
    while (found := _read(path, is_unique)) is None:
        waited = time.monotonic() - begin
        if waited > _SILENT_S and not told:
            told = True
            console.say(f"{rank}: waiting for the first process of this run, which {what} yet ...", sys.stderr)
        if waited > timeout_s:
            raise RunDirectoryError(
                f"{rank} says that this is not the first process of its run, and the first one {what} within "
                f"{timeout_s:g} s (in {path}). See its output for the reason. All processes must be started in the "
                f"same directory of a shared file system. Unset {variable} if this process is a run of its own."
            )
        time.sleep(_POLL_INTERVAL_S)
    if found["value"] is None:
        raise RunDirectoryError("The first process of this run stopped before the run. See its output for the reason.")
    return found["value"]


def _file(root: Path, name: str) -> tuple[Path | None, bool]:
    """Return the file for a value, None if nothing names this start, and whether no other start has that file."""
    start = start_of_all(os.environ)
    if start is None:
        return None, False
    digest = hashlib.sha256(json.dumps(start[0]).encode()).hexdigest()[:16]
    return root / DIRECTORY / f"{digest}.{name}", start[1]


def _read(path: Path, is_unique: bool) -> dict[str, Any] | None:
    """Return the content of a file if the first process of this start has written it."""
    try:
        if path not in path.parent.iterdir():  # NFS remembers that a file is missing, until its directory is read
            return None
        locked, content = is_locked(path), json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    # If the first process has ended already, it wrote the file after this process had started. An earlier file is of
    # another program of the same step, or of another start under the same name
    if not locked and not _is_later_than_this_process(content, is_unique):
        return None
    return dict(content)


def _is_later_than_this_process(content: Mapping[str, Any], is_unique: bool) -> bool:
    now, process = _moment(), this_process()
    if now["boot_id"] is None or process["process_start"] is None:
        return is_unique
    if content["boot_id"] == now["boot_id"]:
        # Not in the same tick: the first process needs many to begin
        return bool(content["ticks"] > process["process_start"])
    started_at = now["at"] - (now["ticks"] - process["process_start"]) / os.sysconf("SC_CLK_TCK")
    return is_unique and bool(content["at"] >= started_at - _CLOCK_SLACK_S)


def _moment() -> dict[str, Any]:
    """Return the present moment, in clock ticks since the boot, as the system counts the starts of processes."""
    boot_id = this_process()["boot_id"]
    if boot_id is None or not hasattr(time, "CLOCK_BOOTTIME"):
        return {"boot_id": None, "ticks": 0, "at": time.time()}
    return {
        "at": time.time(),
        "boot_id": boot_id,
        "ticks": int(time.clock_gettime(time.CLOCK_BOOTTIME) * os.sysconf("SC_CLK_TCK")),
    }


def _remove_old(directory: Path) -> None:
    for path in directory.glob("[!.]*"):
        with suppress(OSError):
            if path not in _written and time.time() - path.stat().st_mtime > _KEPT_S and not is_locked(path):
                path.unlink()
