"""Where the runs and the sweeps below a directory are."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxp_core.errors import RunDirectoryError
from mlxp_core.runs.journal import read_records

# Where a run's record is in its directory: numbered runs, Hydra's own default, hydra.output_subdir=null
SUBDIRS = ("metadata", ".hydra", "")
# multirun/<day>/<time>/<run>, and a subdirectory that has parts
_DEEPEST = 4


@dataclass(frozen=True)
class Found:
    """Directories of runs, and of sweeps, which hold the records of launches."""

    runs: Sequence[str]
    sweeps: Sequence[Path]


def find_runs(directory: Path) -> Found:
    """The runs in a directory, in the order of their numbers: of numbered runs, of a sweep, of sweeps, or of one run.

    Raises:
        RunDirectoryError: it cannot be read.
    """
    path = str(directory)
    if has_record(path):
        return Found([path], sweeps_above(path))
    runs: list[str] = []
    sweeps: list[Path] = []
    try:
        _walk(path, _DEEPEST, runs, sweeps)
    except OSError as error:
        raise RunDirectoryError(f"Cannot read {error.filename or directory}: {error.strerror}.") from error
    if not runs and sweeps:  # logs/sweeps/<sweep>: its runs are elsewhere
        records = read_records(sweeps)
        runs = [run for run in {**records.launches, **records.submissions} if Path(run).is_dir()]
    beside = os.path.commonpath(runs) if len(runs) > 1 else ""
    return Found(sorted(runs, key=lambda run: _natural(run[len(beside) :])), sweeps)


def _walk(path: str, depth: int, runs: list[str], sweeps: list[Path]) -> None:
    others = []
    is_sweep = False
    numbered = os.path.exists(f"{path}/.numbers")
    with os.scandir(path) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith(".") or not entry.is_dir():
                is_sweep = is_sweep or name in ("submissions.jsonl", "multirun.yaml")
            elif name == "sweeps" and numbered:
                sweeps += [Path(sweep.path) for sweep in os.scandir(entry.path) if sweep.is_dir()]
            elif name.startswith("launch-") and os.path.exists(f"{entry.path}/plan.json"):
                is_sweep = True
            elif (numbered and name.isdecimal()) or has_record(entry.path):
                runs.append(entry.path)
            else:
                others.append(entry.path)
    if is_sweep:
        sweeps.append(Path(path))
    if depth > 1 and not numbered:
        for other in others:
            with suppress(OSError):  # another user's
                _walk(other, depth - 1, runs, sweeps)


def has_record(path: str) -> bool:
    """Whether a directory is that of a run."""
    return any(os.path.exists(f"{path}/{subdir}/info.yaml") for subdir in SUBDIRS)


def sweeps_above(path: str) -> list[Path]:
    """The directories that may hold the launch of a run."""
    parents = list(Path(path).parents)[:_DEEPEST]
    beside = parents[0] / "sweeps"
    try:
        inner = [entry for entry in beside.iterdir() if entry.is_dir()]
    except OSError:
        inner = []
    return [*inner, *parents]


def _natural(path: str) -> list[Any]:
    """A key that sorts 9 before 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", path)]
