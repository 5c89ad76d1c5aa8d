"""The JobReturn of a run: a file in the run directory carries it from the job to the launching process."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Sequence
from dataclasses import replace

from hydra.core.utils import JobReturn, JobStatus

from mlxp_core.errors import RunFailedError
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import RunStatus, read_info

log = logging.getLogger(__name__)


def write_result(run: RunDirectory, job_return: JobReturn) -> None:
    """Write a job's JobReturn into its run directory.

    A return value that cannot be pickled is replaced by None, which no optimizer accepts as a result, and an exception
    by a RunFailedError with its text; both with a warning.
    """
    try:
        text = _pickled(job_return)
    except Exception as error:  # what pickle raises depends on the value
        value = job_return._return_value
        kind = type(value).__name__
        log.warning("%s returned a %s, which cannot be pickled for the launcher: %s", run.path, kind, error)
        stand_in = RunFailedError(f"{kind}: {value}") if job_return.status is JobStatus.FAILED else None
        text = _pickled(replace(job_return, _return_value=stand_in))
    temporary = run.job_return.with_suffix(".new")
    temporary.write_bytes(text)
    temporary.replace(run.job_return)


def _pickled(job_return: JobReturn) -> bytes:
    try:
        return pickle.dumps(job_return)
    except Exception:  # cloudpickle can pickle functions, local classes and what a notebook defines
        import cloudpickle

        text: bytes = cloudpickle.dumps(job_return)
        return text


def read_result(run: RunDirectory, exit_status: int, overrides: Sequence[str]) -> JobReturn:
    """Return the JobReturn of a job that ended: its value, its exception, or an error if it left no result.

    Args:
        run: Run directory of the job.
        exit_status: Exit status of the job.
        overrides: Overrides of the job, for a JobReturn that it did not write.
    """
    try:
        job_return: JobReturn = pickle.loads(run.job_return.read_bytes())
        if exit_status == 0 or job_return.status is JobStatus.FAILED:
            return job_return
    except Exception:  # no result, or an exception that can be pickled but not unpickled
        pass
    info = read_info(run.info)
    if exit_status == 0 and info.get("status") == RunStatus.COMPLETE:  # sys.exit(0)
        return JobReturn(overrides=list(overrides), status=JobStatus.COMPLETED)
    reason = info.get("error", {}).get("message", f"exit status {exit_status}")
    return failed_result(overrides, f"Run {run.path} ended without a result: {reason} (see {run.stderr}).")


def failed_result(overrides: Sequence[str], message: str) -> JobReturn:
    """Return a JobReturn for a run that left none; the message says why."""
    return JobReturn(overrides=list(overrides), status=JobStatus.FAILED, _return_value=RunFailedError(message))
