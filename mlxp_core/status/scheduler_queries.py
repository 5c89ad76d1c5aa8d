"""Queries to schedulers about the states of jobs; a scheduler that does not respond is reported, and stops nothing."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlxp_core import console
from mlxp_core.errors import MlxpError, OptionError
from mlxp_core.files import name_of_user
from mlxp_core.runs.journal import LaunchRecord
from mlxp_core.schedulers.job_state import JobState

if TYPE_CHECKING:
    from mlxp_core.schedulers.base import Scheduler

# Maximum number of job ids in one command: an argument has at most 128 KiB (MAX_ARG_STRLEN)
_IDS_PER_QUERY = 10_000
# Schedulers that report the script of each job of this user
_REPORT_SCRIPTS = {
    *("SLURMScheduler", "mlxp_core.schedulers.slurm.SLURMScheduler"),
    *("OARScheduler", "mlxp_core.schedulers.oar.OARScheduler"),
}
_FALLBACK = "showing the last recorded status of its runs."


@dataclass(frozen=True)
class Answer:
    """The answer of a scheduler.

    Attributes:
        states: State of each job, by its id at the submission and by its present id.
        by_script: The jobs that have not ended, by the script that they run, a path without links and as the scheduler
            has it.
    """

    states: Mapping[str, JobState]
    by_script: Mapping[str, Sequence[JobState]]


class SchedulerQueries:
    """The schedulers of runs, each loaded at its first query.

    Attributes:
        notes: Messages for the user about the queries since `start`, such as a scheduler that did not respond.
        unresponsive: Names of the schedulers that did not give a usable answer since `start`.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.unresponsive: set[str] = set()
        self._schedulers: dict[str, Scheduler | None] = {}
        self._launches: dict[str, LaunchRecord] = {}

    def start(self, launches: Iterable[LaunchRecord | None]) -> None:
        """Begin a round of queries about the runs of launches, without the messages of the previous round."""
        self.notes, self.unresponsive = [], set()
        # This user's come last, and stay: only their custom classes are loaded
        known = sorted((launch for launch in launches if launch is not None), key=lambda launch: launch.is_own)
        self._launches.update({launch.scheduler: launch for launch in known})

    def states(self, name: str, job_ids: Sequence[str], certain: Collection[str] = ()) -> Answer | None:
        """Return a scheduler's answer about jobs; None if it gives no usable one.

        Args:
            name: Name of the scheduler's class, dotted unless it is one of this package.
            job_ids: Ids with which the jobs were submitted. Without any, only a scheduler that reports scripts is
                asked, and one that does not respond is not reported: what is recorded is enough.
            certain: Jobs whose absence from the answer changes nothing.
        """
        scheduler = self._scheduler(name) if job_ids or name in _REPORT_SCRIPTS else None
        if scheduler is None:
            return None
        if not job_ids:
            with suppress(MlxpError):
                return _answer(scheduler.states([]))
            self.unresponsive.add(name)
            return None
        if not scheduler.can_query_states:
            self.notes.append(f"{scheduler.title} cannot be queried for job states; {_FALLBACK}")
            return None
        states: dict[str, JobState] = {}
        waiting = f"Waiting for {scheduler.title} to respond, for at most {scheduler.answer_timeout_s:g} s ..."
        try:
            with console.notify_if_slow(waiting):
                for first in range(0, len(job_ids), _IDS_PER_QUERY):
                    states.update(scheduler.states(job_ids[first : first + _IDS_PER_QUERY], certain=certain))
        except MlxpError as error:  # it did not answer, or its class has an error
            self.unresponsive.add(name)
            self.notes.append(f"{error}\n{_FALLBACK.capitalize()}")
            return None
        return _answer(states)

    def title(self, name: str | None) -> str:
        """Return a scheduler's name in messages."""
        scheduler = self._scheduler(name) if name else None
        return scheduler.title if scheduler else (name or "the scheduler").rpartition(".")[2].removesuffix("Scheduler")

    def _scheduler(self, name: str) -> Scheduler | None:
        if name not in self._schedulers:
            try:
                self._schedulers[name] = scheduler_to_ask(name, self._launches.get(name))
            except MlxpError as error:
                self._schedulers[name] = None
                self.notes.append(f"{error} {_FALLBACK.capitalize()}")
        return self._schedulers[name]


def _answer(states: Mapping[str, JobState]) -> Answer:
    by_script: dict[str, list[JobState]] = {}
    for state in states.values():
        if state.script and not state.is_final:
            for script in {state.script, os.path.realpath(state.script)}:
                by_script.setdefault(script, []).append(state)
    # A job that was restarted under another id may be known by that id only
    return Answer({state.job_id: state for state in states.values()} | dict(states), by_script)


def scheduler_to_ask(name: str, launch: LaunchRecord | None) -> Scheduler:
    """Make a scheduler for queries, from the name of its class.

    Args:
        name: Name of the class, dotted unless it is one of this package.
        launch: A launch that used the scheduler. A custom class is looked for where that launch's application finds its
            own modules. Another user's is not loaded: reading runs must not execute another user's code.

    Raises:
        OptionError: There is no such class, or it requires options, or another user's launch names it.
    """
    from mlxp_core.schedulers.class_errors import class_errors_reported
    from mlxp_core.schedulers.loading import load_scheduler

    is_custom = "." in name and not name.startswith("mlxp_core.")
    if is_custom and not (launch and launch.is_own):
        named = f"{launch.directory / 'plan.json'} belongs to {name_of_user(launch.owner)}" if launch else ""
        raise OptionError(
            f"The scheduler class {name} was not loaded: {named or 'no launch of this user names it'}. mlxp runs only "
            "classes from your own launches."
        )
    paths = list(launch.import_paths) if is_custom and launch else []
    sys.path[:0] = paths
    try:
        kind = load_scheduler(name)
        with class_errors_reported(kind):
            return kind(kind.options_class())
    finally:
        del sys.path[: len(paths)]
