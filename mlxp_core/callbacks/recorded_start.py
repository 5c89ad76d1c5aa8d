"""One process of a start keeps the run's record: the one that holds the lock in the run's directory."""

from __future__ import annotations

import os

from omegaconf import DictConfig

from mlxp_core.callbacks.hooks import in_job, run_directory
from mlxp_core.errors import RunActiveError
from mlxp_core.files import cannot_write
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import read_info
from mlxp_core.runs.ranks import is_first_process
from mlxp_core.runs.start_lock import holds_lock, lock_run
from mlxp_core.runs.starts import BY_HAND, current_start, is_alive_here, start_id, this_process


def keeps_record(config: DictConfig) -> bool:
    """Return whether this process keeps the record of the run in its job; the first call of a process decides.

    Only the first process of a run does, and if nothing says which one that is, the first one to ask.

    Raises:
        RunActiveError: Another start of the run has not ended.
        RunDirectoryError: The run directory cannot be written.
    """
    assert in_job(config)
    if not is_first_process(os.environ):
        return False
    return claim_run(run_directory(config), start_id(), job_id_of(config))


def job_id_of(config: DictConfig) -> str | None:
    """Return the scheduler's id of the job that this process runs in; None if it was started by hand."""
    job_id = config.hydra.job.id
    return None if job_id in (None, BY_HAND) else str(job_id)


def claim_run(run: RunDirectory, start: str, job_id: str | None) -> bool:
    """Lock a run for a start; return whether this process, and not another one of the start, has the lock.

    Args:
        run: Directory of the run.
        start: Id of the start.
        job_id: The scheduler's id of the job; None outside of a job.

    Raises:
        RunActiveError: Another start of the run has not ended.
        RunDirectoryError: The run directory cannot be written.
    """
    try:
        holder = lock_run(run.lock, start)
    except OSError as error:
        raise cannot_write(run.lock, error) from error
    if holder == start:
        return holds_lock(run.lock)
    current = current_start(read_info(run.info)) or {}
    if holder is None:  # the file system has no locks
        if current.get("id") != start and is_alive_here(current):
            raise _refused(run, current)
        return current.get("id") != start or current.get("process_id") == this_process()["process_id"]
    is_requeued = job_id is not None and current.get("job_id") == job_id
    if is_requeued and current.get("hostname") != this_process()["hostname"]:
        return True  # its node was lost, and the file server still has that node's lock
    raise _refused(run, current)


def _refused(run: RunDirectory, current: object) -> RunActiveError:
    who = "another process"
    if isinstance(current, dict) and current.get("process_id"):
        job = f"job {current['job_id']}, " if current.get("job_id") else ""
        who = f"{job}process {current['process_id']} on {current['hostname']}"
    return RunActiveError(
        f"The run in {run.path} has not ended: {who} runs it. This start is refused, and nothing was changed. Wait for "
        "it, or cancel it with 'mlxp cancel', and start the run again."
    )
