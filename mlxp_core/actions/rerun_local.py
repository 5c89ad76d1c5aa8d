"""Run the scripts of local runs (hydra/launcher=local) again, on this machine."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from mlxp_core import console
from mlxp_core.config.options import LocalOptions
from mlxp_core.errors import LaunchInterruptedError
from mlxp_core.files import read_if_there
from mlxp_core.interrupts import raise_on_signals
from mlxp_core.launch.run_files import reset_record
from mlxp_core.paths import short_path
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.starts import this_process
from mlxp_core.schedulers.local import LocalScheduler


@contextmanager
def lock_local_runs(runs: Sequence[RunDirectory]) -> Iterator[list[RunDirectory]]:
    """Lock the scripts of runs; yield the runs that no other process has locked."""
    with ExitStack() as stack:
        free = []
        for run in runs:
            script = stack.enter_context(run.script.open("r+b"))  # for writing: NFS needs that for an exclusive lock
            try:
                fcntl.flock(script, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            except OSError:  # a file system without locks
                pass
            free.append(run)
        yield free


def run_scripts(runs: Sequence[RunDirectory], n_jobs: int | None, started_in: Path) -> int:
    """Run the scripts of runs again, and wait for them.

    Args:
        runs: Runs locked by `lock_local_runs`.
        n_jobs: Maximum number of concurrent runs; None for the number of cores that this process may use.
        started_in: Directory in which the user started the program.

    Returns:
        The number of runs that failed.

    Raises:
        LaunchInterruptedError: The user interrupted it. Running runs were stopped; the records of the others are
            unchanged.
    """
    before = {run.info: read_if_there(run.info) for run in runs}
    failed = 0
    # One shell for all: a launcher writes all its scripts for the same shell
    shell = runs[0].script.read_text(errors="replace").partition("\n")[0].removeprefix("#!").strip()
    scheduler = LocalScheduler(LocalOptions(shell_path=shell or None, n_jobs=n_jobs))
    title = f"{console.count(runs, 'run')} on this machine, {scheduler.n_jobs} at a time"
    ended = scheduler.run(runs)
    with raise_on_signals():
        try:
            for run in runs:
                reset_record(run, {"waits_in": this_process()})
            with closing(ended), console.progress(title, len(runs)) as progress:
                for index, exit_status in ended:
                    failed += exit_status != 0
                    progress.ended(short_path(runs[index].path, started_in), succeeded=exit_status == 0)
        except KeyboardInterrupt:
            missing = [short_path(runs[index].path, started_in) for index in scheduler.waiting]
            rest = f" Not started: {', '.join(missing)}." if missing else ""
            raise LaunchInterruptedError(f"Interrupted: the running runs were stopped.{rest}") from None
        finally:
            for run in [runs[index] for index in scheduler.waiting]:
                old = before[run.info]
                with suppress(OSError):
                    if old is not None:
                        run.info.write_bytes(old)
    return failed
