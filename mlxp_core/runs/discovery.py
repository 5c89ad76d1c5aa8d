"""Finding the runs and sweeps below a directory."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxp_core.errors import RunDirectoryError
from mlxp_core.runs.directory import NUMBERS
from mlxp_core.runs.journal import SUBMISSIONS, read_records

# Where the record is in a run's directory: numbered runs, Hydra's own default, hydra.output_subdir=null
SUBDIRS = ("metadata", ".hydra", "")
# multirun/<day>/<time>/<run>, and a subdirectory of several parts
_MAX_DEPTH = 4


@dataclass(frozen=True)
class FoundRuns:
    """Directories of runs, and of the sweeps that hold the journals of their launches."""

    runs: Sequence[str]
    sweeps: Sequence[Path]


def find_runs(directory: Path) -> FoundRuns:
    """Find the runs in a directory, in the order of their numbers.

    Args:
        directory: Directory of numbered runs, of a sweep, of several sweeps, or of one run.

    Raises:
        RunDirectoryError: The directory cannot be read.
    """
    path = str(directory)
    if has_record(path):
        return FoundRuns([path], sweeps_above(path))
    runs: list[str] = []
    sweeps: list[Path] = []
    try:
        _walk(path, _MAX_DEPTH, runs, sweeps)
    except OSError as error:
        raise RunDirectoryError(f"Cannot read {error.filename or directory}: {error.strerror}.") from error
    if not runs and sweeps:  # logs/sweeps/<sweep>: its runs are elsewhere
        records = read_records(sweeps)
        runs = [run for run in {**records.launches, **records.submissions} if Path(run).is_dir()]
    common = os.path.commonpath(runs) if len(runs) > 1 else ""
    return FoundRuns(sorted(runs, key=lambda run: _natural_key(run[len(common) :])), sweeps)


def _walk(path: str, depth: int, runs: list[str], sweeps: list[Path]) -> None:
    """Append the runs and sweeps in a directory, down to a depth."""
    others = []
    is_sweep = False
    is_numbered = os.path.exists(f"{path}/{NUMBERS}")
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or not entry.is_dir():
                is_sweep = is_sweep or name in (SUBMISSIONS, "multirun.yaml")
            elif name == "sweeps" and is_numbered:
                sweeps += [Path(sweep.path) for sweep in os.scandir(entry.path) if sweep.is_dir()]
            elif name.startswith("launch-") and os.path.exists(f"{entry.path}/plan.json"):
                is_sweep = True
            elif (is_numbered and name.isdecimal()) or has_record(entry.path):
                runs.append(entry.path)
            else:
                others.append(entry.path)
    if is_sweep:
        sweeps.append(Path(path))
    if depth > 1 and not is_numbered:
        for other in others:
            with suppress(OSError):  # another user's
                _walk(other, depth - 1, runs, sweeps)


def has_record(path: str) -> bool:
    """Return whether a directory is a run's."""
    return any(os.path.exists(f"{path}/{subdir}/info.yaml") for subdir in SUBDIRS)


def sweeps_above(path: str) -> list[Path]:
    """Return the directories that may hold the launch of a run."""
    parents = list(Path(path).parents)[:_MAX_DEPTH]
    sweeps = parents[0] / "sweeps"
    try:
        numbered = [entry for entry in sweeps.iterdir() if entry.is_dir()]
    except OSError:
        numbered = []
    return [*numbered, *parents]


def _natural_key(path: str) -> list[Any]:
    """Return a sort key that places 9 before 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path)]
