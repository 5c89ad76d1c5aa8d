"""Final states of jobs, kept in the sweep's journal because schedulers forget them and runs do not record them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mlxp_core.runs.info import now
from mlxp_core.runs.journal import JOB_STATES, FinalState, append_entries
from mlxp_core.runs.reader import RunRecord
from mlxp_core.schedulers.job_state import JobState


def known_final_state(run: RunRecord) -> FinalState | None:
    """Return the final state that was recorded for the run's current job; None if there is none."""
    known = run.final_state
    # A job that was requeued after it was seen to end has started since
    return known if known and known.job_id == run.job_id and known.starts == _starts(run) else None


def record_final_states(observed: Sequence[tuple[RunRecord, JobState]]) -> None:
    """Record the final states that are not recorded yet; nothing is written to another user's sweep."""
    of_sweeps: dict[Path, list[dict[str, str | int]]] = {}
    for run, state in observed:
        known = known_final_state(run)
        if run.submission is not None and run.job_id and (known is None or known.state != state.name):
            entry: dict[str, str | int] = {
                "run": run.recorded_as,
                "job_id": run.job_id,
                "state": state.name,
                "reason": state.reason,
            }
            of_sweeps.setdefault(run.submission.sweep, []).append({**entry, "starts": _starts(run), "at": now()})
    for sweep, entries in of_sweeps.items():
        with suppress(OSError):
            if sweep.stat().st_uid == os.getuid():
                append_entries(sweep / JOB_STATES, entries)


def _starts(run: RunRecord) -> int:
    """Return how many starts the run's record has."""
    return len(run.info.get("starts") or ())
