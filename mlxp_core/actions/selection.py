"""The runs that a user names: a number, a range, a list, or a path."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from mlxp_core.errors import NoRunsError, SelectionError
from mlxp_core.files import name_of_user
from mlxp_core.paths import path_ranges
from mlxp_core.runs.discovery import find_runs
from mlxp_core.runs.reader import RunReader, RunRecord

# Ranges of run numbers that a message lists, at most
_MAX_RANGES = 12


def check_directory(directory: Path) -> None:
    """Check that the directory of runs exists, and say where runs are instead.

    Raises:
        NoRunsError: There is no such directory.
    """
    if directory.is_dir():
        return
    if directory.is_absolute():
        raise NoRunsError(f"There is no directory {directory}.")
    message = f"No ./{directory} here. Run mlxp where you launched the runs, or give their directory."
    hydras = [path for path in (Path.cwd() / "multirun", Path.cwd() / "outputs") if path.is_dir()]
    others = [path.name for path in hydras if find_runs(path).runs]
    if others:
        message += f" There are runs in ./{' and ./'.join(others)}: try 'mlxp ls {others[0]}'."
    raise NoRunsError(message)


def select_all(directory: Path) -> list[RunRecord]:
    """Return all runs in a directory, in the order of their numbers.

    Raises:
        NoRunsError: There are none.
    """
    check_directory(directory)
    return RunReader(directory).read()


def select_runs(words: Sequence[str], directory: Path) -> list[RunRecord]:
    """Return the runs that the user named, each once, in the order in which they are named.

    Args:
        words: Numbers, ranges (`3-7`), lists of these (`1,4,9-12`), and paths of runs.
        directory: Directory of the numbered runs.

    Raises:
        SelectionError: A word names no run, or a number several.
        NoRunsError: There are no runs in the directory.
    """
    found: dict[Path, RunRecord] = {}
    for word in words:
        spans = _spans(word)
        path = Path(word).absolute()
        if spans is None or (path.is_dir() and "/" in word):
            runs = [_at(path, word)]
        else:
            runs = _numbered(spans, directory, word)
        for run in runs:
            found[run.directory.path] = run
    return list(found.values())


def select_one(word: str, directory: Path) -> RunRecord:
    """Return the run that the user named.

    Raises:
        SelectionError: The word names no run, or several.
    """
    runs = select_runs([word], directory)
    if len(runs) > 1:
        raise SelectionError(f"{word} names {len(runs)} runs, but this command takes only one.")
    return runs[0]


def check_own(runs: Sequence[RunRecord]) -> None:
    """Check that all runs belong to this user.

    Raises:
        SelectionError: One belongs to another user.
    """
    for run in runs:
        owner = Path(run.path).stat().st_uid
        if owner != os.getuid():
            raise SelectionError(
                f"{run.path} belongs to {name_of_user(owner)}; only the owner can do this. Nothing was done."
            )


def sharing_jobs(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """Return the other runs that share a job with one of these."""
    some = [run for run in runs if run.launch is not None and run.launch.shares_jobs and run.job_id is not None]
    jobs, named = {run.job_id for run in some}, {run.recorded_as for run in runs}
    launches = {run.launch.directory: run.launch for run in some if run.launch is not None}
    others = [Path(path) for launch in launches.values() for path in launch.runs if path not in named]
    others = [path for path in others if path.is_dir()]
    found = RunReader(others[0].parent).read_some(others) if others else []
    return [run for run in found if run.job_id in jobs]


def _spans(word: str) -> list[tuple[int, int]] | None:
    """Return the ranges in `1,4,9-12` as first and last numbers; None if the word is something else."""
    parts = [re.fullmatch(r"(\d{1,12})(?:-(\d{1,12}))?", part.strip()) for part in word.split(",")]
    return [(int(part[1]), int(part[2] or part[1])) for part in parts if part] if all(parts) else None


def _at(path: Path, word: str) -> RunRecord:
    if not path.is_dir():
        raise SelectionError(
            f"{word!r} is not a run: give a number (5), a range (3-7), a list (1,4,9) or the path of a run's directory."
        )
    (run,) = RunReader(path.parent).read_some([path])
    if run.problem.endswith("has no record (info.yaml)") and run.launch is None:
        raise SelectionError(
            f"{word!r} is not the directory of a run: it has no info.yaml. To list the runs in it: mlxp ls {word}"
        )
    return run


def _numbered(spans: Sequence[tuple[int, int]], directory: Path, word: str) -> list[RunRecord]:
    check_directory(directory)
    reader = RunReader(directory)
    single = {first for first, last in spans if first == last}
    if all(first == last for first, last in spans):
        paths = [reader.directory / str(number) for number in single]
        if all(path.is_dir() for path in paths):  # then the others need not be read
            return reader.read_some([reader.directory / str(first) for first, _ in spans])
    by_number: dict[int, list[RunRecord]] = {}
    for run in reader.read():
        name = run.directory.path.name
        if name.isdecimal():
            by_number.setdefault(int(name), []).append(run)
    chosen = []
    for first, last in spans:
        numbers = [number for number in sorted(by_number) if first <= number <= last]
        if not numbers:
            has = f"it has {_ranges(sorted(by_number))}" if by_number else "its runs have no numbers"
            raise SelectionError(f"There is no run {word if len(spans) == 1 else first} in {directory}; {has}.")
        for number in numbers:
            if len(by_number[number]) > 1:
                paths = [run.directory.path for run in by_number[number]]
                raise SelectionError(
                    f"{len(paths)} runs in {directory} have the number {number}: name one by its directory, such as "
                    f"{paths[0]}."
                )
        chosen += [by_number[number][0] for number in numbers]
    return chosen


def _ranges(numbers: Sequence[int]) -> str:
    """Return sorted numbers in one line, such as `1, 3-7`; of many ranges only the first and last ones."""
    ranges = path_ranges(map(str, numbers)).split(", ")
    if len(ranges) > _MAX_RANGES:
        half = _MAX_RANGES // 2
        ranges = [*ranges[:half], "...", *ranges[-half:]]
    return ", ".join(ranges)
