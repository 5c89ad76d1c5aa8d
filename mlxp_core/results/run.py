"""One run for Python: its settings, metrics, log and status."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxp_core.files import read_regular
from mlxp_core.metrics.history import log_names, read_records
from mlxp_core.results.rows import COLUMNS, Row


@dataclass(frozen=True)
class Run:
    """One run. Its files are read when they are asked for; nothing in its directory is executed or unpickled.

    Attributes:
        row: The run with its resolved status.
        place: Place among all runs of the directory, in the order of their numbers.
    """

    row: Row
    place: int

    @property
    def name(self) -> str:
        """The run's number, or its path relative to the directory that was read."""
        return self.row.run.name

    @property
    def path(self) -> Path:
        """The run's directory, absolute."""
        return Path(self.row.run.path)

    @property
    def status(self) -> str:
        """COMPLETE, FAILED, RUNNING, ..., as `mlxp ls` shows it."""
        return self.row.resolved.status

    @property
    def reason(self) -> str:
        """Why it has this status; empty if there is nothing to explain."""
        return self.row.resolved.reason

    @property
    def config(self) -> dict[str, Any]:
        """Its configuration, with interpolations as they were written; before it starts, only its overrides."""
        return deepcopy(self.row.config)

    @property
    def overrides(self) -> list[str]:
        """The overrides that its sweep or its command line chose, such as `optimizer.lr=0.1`."""
        return list(self.row.run.overrides)

    @property
    def info(self) -> dict[str, Any]:
        """Its record (info.yaml); empty if it has none."""
        return deepcopy(dict(self.row.run.info))

    @property
    def commit(self) -> str | None:
        """The commit whose code it ran; None without mlxp_versioning."""
        found = COLUMNS["commit"](self.row)
        return None if found is None else str(found)

    @property
    def last_metrics(self) -> dict[str, Any]:
        """The last value of each metric, by names such as `test.accuracy`."""
        return dict(self.row.metrics)

    @property
    def logs(self) -> list[str]:
        """The names that `metrics` takes, such as `train`."""
        return log_names(self.row.run.path)

    def metrics(self, name: str) -> list[dict[str, Any]]:
        """Return all records that it logged to `metrics.<name>`; lines that are damaged are left out.

        Args:
            name: Name such as `train`. A run that logged nothing to it has no records; see `logs`.
        """
        return read_records(self.row.run.path, name)

    def log(self, *, stderr: bool = False) -> str:
        """Return its output: log.stdout, or without one the file that Hydra's logging wrote; empty if there is none.

        Args:
            stderr: Return its stderr (log.stderr) instead.
        """
        directory = self.row.run.directory
        files = [directory.stderr] if stderr else [directory.stdout, *sorted(directory.path.glob("*.log"))]
        for file in files:
            try:
                return read_regular(file).decode(errors="replace")
            except OSError:
                continue
        return ""

    def __repr__(self) -> str:
        return f"<Run {self.name}: {' '.join([self.status, *self.overrides])}>"
