"""How jobs ended, kept in the record of their sweep: schedulers forget it, and a run's own record does not know it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mlxp_core.runs.info import now
from mlxp_core.runs.journal import JOB_STATES, FinalState, append_entries
from mlxp_core.runs.reader import RunRecord, seconds
from mlxp_core.schedulers.job_state import JobState


def known_final_state(run: RunRecord) -> FinalState | None:
    """How the run's job ended, if that was seen once; not of an earlier start of it."""
    learned = run.learned
    if learned is None or run.submitted_again or learned.job_id != run.first_job_id:
        return None
    start, noted = seconds(run.info.get("start_time")), seconds(learned.at)
    return learned if start is None or (noted is not None and start <= noted) else None


def record_final_states(seen: Sequence[tuple[RunRecord, JobState]]) -> None:
    """Write down how jobs ended, where that is new; the record of another user's sweep is left as it is."""
    of_sweeps: dict[Path, list[dict[str, str]]] = {}
    for run, state in seen:
        known = known_final_state(run)
        if run.submission is not None and run.first_job_id and (known is None or known.state != state.name):
            entry = {"run": run.recorded_as, "job_id": run.first_job_id, "state": state.name, "reason": state.reason}
            of_sweeps.setdefault(run.submission.sweep, []).append(entry | {"at": now()})
    for sweep, entries in of_sweeps.items():
        with suppress(OSError):
            if sweep.stat().st_uid == os.getuid():
                append_entries(sweep / JOB_STATES, entries)
