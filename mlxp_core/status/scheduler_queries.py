"""Asking schedulers about jobs, whether they answer or not."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from mlxp_core import console
from mlxp_core.errors import MlxpError, SchedulerUnavailableError
from mlxp_core.runs.journal import LaunchRecord
from mlxp_core.schedulers.job_state import JobState

if TYPE_CHECKING:
    from mlxp_core.schedulers.base import Scheduler

# Longer than this no argument of a program may be (MAX_ARG_STRLEN is 128 KiB)
_ASKED_AT_ONCE = 10_000


class SchedulerQueries:
    """The schedulers of runs, loaded when they are asked.

    Attributes:
        notes: what the user should know of those that did not answer since the last look.
        silent: the names of those that should have answered, and did not.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.silent: set[str] = set()
        self._schedulers: dict[str, Scheduler | None] = {}
        self._launches: dict[str, LaunchRecord] = {}

    def look_at(self, launches: Iterable[LaunchRecord | None]) -> None:
        """Take launches whose schedulers will be asked, and forget the notes."""
        self.notes, self.silent = [], set()
        self._launches.update({launch.scheduler: launch for launch in launches if launch is not None})

    def ask(self, name: str, job_ids: Sequence[str]) -> dict[str, JobState] | None:
        """The states of a scheduler's jobs; None when it does not say.

        Args:
            name: of the scheduler's class, dotted or one of ours.
            job_ids: as they were submitted.
        """
        scheduler = self._scheduler(name)
        if scheduler is None:
            return None
        from mlxp_core.schedulers.base import Scheduler

        if type(scheduler).states is Scheduler.states and not scheduler.states_command(job_ids):
            self.notes.append(f"{scheduler.title} cannot be asked: its runs are shown as their directories say.")
            return None
        found: dict[str, JobState] = {}
        waiting = f"Waiting for {scheduler.title} to answer, for {scheduler.answer_timeout_s:g} s at most ..."
        try:
            with console.notify_if_slow(waiting):
                for start in range(0, len(job_ids), _ASKED_AT_ONCE):
                    found.update(scheduler.states(job_ids[start : start + _ASKED_AT_ONCE]))
        except SchedulerUnavailableError as error:
            self.silent.add(name)
            self.notes.append(f"{error}\nIts runs are shown as their directories say.")
            return None
        except (ValueError, LookupError, TypeError) as error:
            self.silent.add(name)
            self.notes.append(
                f"The answer of {scheduler.title} cannot be read ({error!r}): its runs are shown as their directories "
                "say."
            )
            return None
        # One that was started again under another id may be known by that one alone
        return {state.job_id: state for state in found.values()} | found

    def title(self, name: str | None) -> str:
        """What users call a scheduler."""
        scheduler = self._scheduler(name) if name else None
        return scheduler.title if scheduler else (name or "the scheduler").rpartition(".")[2].removesuffix("Scheduler")

    def _scheduler(self, name: str) -> Scheduler | None:
        if name not in self._schedulers:
            try:
                self._schedulers[name] = scheduler_to_ask(name, self._launches.get(name))
            except MlxpError as error:
                self._schedulers[name] = None
                self.notes.append(f"{error} Its runs are shown as their directories say.")
        return self._schedulers[name]


def scheduler_to_ask(name: str, launch: LaunchRecord | None) -> Scheduler:
    """A scheduler to be asked, by the name of its class.

    Args:
        name: dotted, or that of one of ours.
        launch: one that used it. A class of the user's is found where that application finds its own modules, unless
            it is another user's: looking at runs must not run their code.

    Raises:
        OptionError: there is none, or it needs options.
    """
    from mlxp_core.schedulers.class_errors import class_errors_reported
    from mlxp_core.schedulers.loading import load_scheduler

    is_ours = launch is not None and launch.directory.stat().st_uid == os.getuid()
    paths = list(launch.import_paths) if launch is not None and is_ours else []
    sys.path[:0] = paths
    try:
        kind = load_scheduler(name)
        with class_errors_reported(kind):
            return kind(kind.options_class())
    finally:
        del sys.path[: len(paths)]
