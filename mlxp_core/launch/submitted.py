"""Whether a request was submitted, after a launch that could not record it.

What shows it: the sweep's journal, the answer of the submission command, the scheduler itself, and the record of a run
that was started by the request. A run that was started by hand shows nothing about the other runs of its request.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from mlxp_core.errors import SchedulerUnavailableError
from mlxp_core.launch.plan import run_ranges
from mlxp_core.launch.submission import find_request, how_to_check
from mlxp_core.launch.submission_requests import Request
from mlxp_core.runs.info import RunStatus, read_info
from mlxp_core.runs.starts import current_start
from mlxp_core.schedulers.base import Scheduler


def submitted_jobs(scheduler: Scheduler, request: Request, recorded: Mapping[str, str]) -> list[str]:
    """Return the job id of each task of a request, empty where it is not known; an empty list if nothing is submitted.

    Args:
        scheduler: Scheduler of the launch.
        request: The request.
        recorded: Job ids in the journal of the sweep, by the directory of the run.

    Raises:
        SchedulerUnavailableError: Whether the request was submitted cannot be determined now.
        RunRecordError: The record of a run is damaged.
    """
    paths = [str(run.directory.path) for run in request.runs]
    if all(path in recorded for path in paths):
        return [recorded[path] for path in paths[:: request.runs_per_job]]
    if not request.answer.exists():
        return []
    answer = request.answer.read_text(encoding="utf-8", errors="replace")
    job_ids = scheduler.job_ids(answer, request.tasks)
    if len(job_ids) == (request.tasks or 1):  # otherwise the answer is incomplete, or an error message
        return job_ids
    can_find = scheduler.implements("find")
    known = _known_jobs(request, recorded)
    with suppress(*([SchedulerUnavailableError] if known else [])):
        job_ids = find_request(scheduler, request) if can_find else []
        if job_ids:
            return job_ids
    if known or can_find:
        return known
    raise SchedulerUnavailableError(
        f"{request.answer} contains no job id, but {run_ranges(request.runs)} may be submitted. "
        f"{how_to_check(scheduler, request)}"
    )


def _known_jobs(request: Request, recorded: Mapping[str, str]) -> list[str]:
    """Return the jobs that the journal and the records of the runs name; an empty list if neither names one.

    Schedulers forget finished jobs (SLURM without accounting after minutes), but a run that started has a record.
    """
    jobs = [""] * (request.tasks or 1)
    is_submitted = False
    for place, run in enumerate(request.runs):
        task = place // request.runs_per_job
        job_id = recorded.get(str(run.directory.path))
        if job_id is None:
            job_id = _started_by(request, read_info(run.directory.info))
        if job_id is not None:
            is_submitted = True
            jobs[task] = jobs[task] or job_id
    return jobs if is_submitted else []


def _started_by(request: Request, info: Mapping[str, Any]) -> str | None:
    """Return the job of a request that started a run, empty if its id is not known; None if the request did not.

    Args:
        request: The request.
        info: Record of the run, which was that of an unstarted run when the request was made.
    """
    starts = info.get("starts") or []
    if request.array is not None:
        jobs = (start.get("job_id") for start in starts if start.get("request") == str(request.directory))
        return next((str(job_id or "") for job_id in jobs), None)
    # Its script is the run's own, so a job of that script is as good as the request's
    if info.get("status", RunStatus.STARTING) == RunStatus.STARTING:
        return None
    start = current_start(info)
    return "" if start is None else start.get("job_id")
