"""Final states of jobs, kept in the sweep's journal because schedulers forget them and runs do not record them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mlxp_core.runs.info import now, seconds
from mlxp_core.runs.journal import JOB_STATES, FinalState, append_entries
from mlxp_core.runs.reader import RunRecord
from mlxp_core.schedulers.job_state import JobState


def known_final_state(run: RunRecord) -> FinalState | None:
    """Return the final state that was recorded for the run's current job; None if there is none."""
    known = run.final_state
    if known is None or run.submitted_again or known.job_id != run.first_job_id:
        return None
    # A job that was requeued after it was seen to end has started since
    start, observed = seconds(run.info.get("start_time")), seconds(known.at)
    return known if start is None or (observed is not None and start <= observed) else None


def record_final_states(observed: Sequence[tuple[RunRecord, JobState]]) -> None:
    """Record the final states that are not recorded yet; nothing is written to another user's sweep."""
    of_sweeps: dict[Path, list[dict[str, str]]] = {}
    for run, state in observed:
        known = known_final_state(run)
        if run.submission is not None and run.first_job_id and (known is None or known.state != state.name):
            entry = {"run": run.recorded_as, "job_id": run.first_job_id, "state": state.name, "reason": state.reason}
            of_sweeps.setdefault(run.submission.sweep, []).append(entry | {"at": now()})
    for sweep, entries in of_sweeps.items():
        with suppress(OSError):
            if sweep.stat().st_uid == os.getuid():
                append_entries(sweep / JOB_STATES, entries)
