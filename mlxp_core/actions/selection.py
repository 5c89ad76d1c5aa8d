"""The runs that a user names: a number, a range, a list, or a path."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Sequence
from pathlib import Path

from mlxp_core.errors import SelectionError
from mlxp_core.runs.reader import RunReader, RunRecord


def select_runs(words: Sequence[str], directory: Path) -> list[RunRecord]:
    """The runs that words name, each once, in the order in which they are named.

    Args:
        words: each a number, a range (`3-7`), a list of these (`1,4,9-12`), or the path of a run.
        directory: where the numbers are.

    Raises:
        SelectionError: a word names no run, or a number means several.
        NoRunsError: there are no runs in the directory.
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
    """The one run that a word names.

    Raises:
        SelectionError: it names none, or several.
    """
    runs = select_runs([word], directory)
    if len(runs) > 1:
        raise SelectionError(f"{word} names {len(runs)} runs: name one.")
    return runs[0]


def check_own(runs: Sequence[RunRecord]) -> None:
    """Refuse runs of another user.

    Raises:
        SelectionError: there is one.
    """
    for run in runs:
        owner = Path(run.path).stat().st_uid
        if owner != os.getuid():
            try:
                name = pwd.getpwuid(owner).pw_name
            except KeyError:
                name = f"user {owner}"
            raise SelectionError(f"{run.path} is a run of {name}: it is not yours to change. Nothing was done.")


def sharing_jobs(runs: Sequence[RunRecord]) -> list[RunRecord]:
    """The other runs that share a job with some of these."""
    some = [run for run in runs if run.launch is not None and run.launch.shares_jobs and run.job_id is not None]
    jobs, named = {run.job_id for run in some}, {run.recorded_as for run in runs}
    launches = {run.launch.directory: run.launch for run in some if run.launch is not None}
    others = [Path(path) for launch in launches.values() for path in launch.runs if path not in named]
    others = [path for path in others if path.is_dir()]
    found = RunReader(others[0].parent).read_some(others) if others else []
    return [run for run in found if run.job_id in jobs]


def _spans(word: str) -> list[tuple[int, int]] | None:
    """The ranges in `1,4,9-12`, each by its first and last number; None for a word that is something else."""
    parts = [re.fullmatch(r"(\d{1,12})(?:-(\d{1,12}))?", part.strip()) for part in word.split(",")]
    return [(int(part[1]), int(part[2] or part[1])) for part in parts if part] if all(parts) else None


def _at(path: Path, word: str) -> RunRecord:
    if not path.is_dir():
        raise SelectionError(
            f"{word!r} is no run: give a number (5), a range (3-7), a list (1,4,9) or the path of a run's directory."
        )
    (run,) = RunReader(path.parent).read_some([path])
    if run.problem.endswith("has no record (info.yaml)") and run.launch is None:
        raise SelectionError(f"{word!r} is the path of no run: it has no info.yaml. 'mlxp ls {word}' lists runs in it.")
    return run


def _numbered(spans: Sequence[tuple[int, int]], directory: Path, word: str) -> list[RunRecord]:
    reader = RunReader(directory)
    single = {first for first, last in spans if first == last}
    if all(first == last for first, last in spans):
        paths = [reader.directory / str(number) for number in single]
        if all(path.is_dir() for path in paths):  # without a look at all the others
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
            has = f"; it has {min(by_number)} to {max(by_number)}" if by_number else "; its runs have no numbers"
            raise SelectionError(f"There is no run {word if len(spans) == 1 else first} in {directory}{has}.")
        for number in numbers:
            if len(by_number[number]) > 1:
                paths = [run.directory.path for run in by_number[number]]
                raise SelectionError(
                    f"The number {number} means {len(paths)} runs in {directory}: name one of their directories, such "
                    f"as {paths[0]}."
                )
        chosen += [by_number[number][0] for number in numbers]
    return chosen
