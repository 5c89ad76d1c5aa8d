"""What must be true after each step, whatever the user did."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import yaml

from tests.model import oracle

if TYPE_CHECKING:
    from tests.model.application import Start
    from tests.model.world import World

Truth = dict[str, frozenset[str] | None]
# How long `mlxp ls` may say something else than what has been true all the time: accounting lags
_AGREE_WITHIN_S = 90
# A scheduler may take longer than that to start or end a job; then nothing is said
_SETTLE_WITHIN_S = 240
# What a record has where the code was not only that of its commit
_SAYS_OTHERWISE = {"loaded_from_repository", "changed_at_start"}


def check(world: World) -> None:
    """Check everything.

    Raises:
        AssertionError: Something is not as it must be.
    """
    agree(world, is_patient=world.is_patient)
    starts = world.diary.starts()
    one_process(world, starts)
    only_the_user_ends_runs(world, starts)
    starts_were_asked_for(world, starts)
    starts_are_recorded(world, starts)
    code_is_recorded(world, starts)
    files_are_kept(world, starts)
    assert world.read_git() == world.git_state, f"the repository was {world.git_state}, and is {world.read_git()}"


def truth(world: World, *, is_patient: bool) -> Truth:
    """Return the statuses that are true of each run on disk; None for those that change.

    Args:
        world: The user.
        is_patient: Whether a run that waits for its turn is one that changes.
    """
    jobs, scripts, starts = defaultdict(list), world.oracle.scripts(), defaultdict(list)
    for job in world.oracle.jobs():
        jobs[job.run].append(job)
    for start in world.diary.starts():
        starts[start.run].append(start)
    found = {}
    for run in world.numbers():
        was_killed = bool(starts[run]) and world.was_killed(starts[run][-1])
        sweep = world.local_runs.get(run)
        found[run] = oracle.expected(
            starts[run],
            jobs[run],
            has_script=run in scripts,
            is_next=not starts[run] and sweep is not None and sweep.poll() is None,
            was_killed=was_killed,
        )
        if is_patient and any(job.state == "PENDING" and not job.is_held for job in jobs[run]):
            found[run] = None
    return found


def shown(world: World) -> dict[str, str]:
    """Return what `mlxp ls` says of each run."""
    if not world.numbers():
        return {}
    result = world.mlxp("ls", "--json", "logs")
    assert result.status == 0, f"mlxp ls fails: {result.text}"
    return {row["run"]: row["status"] for row in json.loads(result.stdout)}


def agree(world: World, *, is_patient: bool) -> None:
    """Wait until `mlxp ls` has said what is true of each run, before and after it was asked."""
    begin = time.monotonic()
    since: dict[str, tuple[frozenset[str], float]] = {}  # what is true, and not said, and from when on
    left = {*world.numbers()}
    before = truth(world, is_patient=is_patient)
    while left and time.monotonic() < begin + _SETTLE_WITHIN_S:
        says = shown(world) if any(before.get(run) for run in left) else {}
        after = truth(world, is_patient=is_patient)
        one_process(world, world.diary.starts())
        for run in sorted(left, key=int):
            true = before.get(run)
            if run not in after or (true and says.get(run) in true):  # it is gone, or said
                left.discard(run)
            elif true is None or after[run] != true:
                since.pop(run, None)
            elif since.setdefault(run, (true, time.monotonic()))[0] != true:
                since[run] = (true, time.monotonic())
            else:
                late = f"run {run} is {sorted(true)}, and mlxp ls says {says.get(run)} for {_AGREE_WITHIN_S} s"
                assert time.monotonic() < since[run][1] + _AGREE_WITHIN_S, late
        before = after
        if left:
            time.sleep(0.3)
    if left:
        print(f"Runs {sorted(left)} did not settle: {before}", file=sys.stderr, flush=True)


def one_process(world: World, starts: list[Start]) -> None:
    """At most one process runs in each directory, and the directory is there."""
    alive = Counter(start.run for start in starts if start.is_alive)
    for run, number in alive.items():
        assert number == 1, f"{number} processes in the directory of run {run}"
        assert run in world.removed or (world.logs / run).is_dir(), f"the directory of run {run}, which runs, is gone"


def only_the_user_ends_runs(world: World, starts: list[Start]) -> None:
    """A run that ended otherwise than by itself was ended by the user."""
    for start in starts:
        ended = not start.is_alive and start.end is None and start.run not in world.removed
        assert not ended or world.was_killed(start), f"run {start.run} was ended, and not by the user"


def starts_were_asked_for(world: World, starts: list[Start]) -> None:
    """No run started more often than the user asked for."""
    for run, number in Counter(start.run for start in starts).items():
        if run not in world.removed:
            asked = world.allowed[run]
            assert number <= asked, f"run {run} started {number} times, and was asked to start {asked} times"


def record(world: World, run: str) -> dict[str, Any]:
    """Return the record of a run."""
    text = (world.logs / run / "metadata" / "info.yaml").read_text()
    found = yaml.safe_load(text)
    assert isinstance(found, dict), f"the record of run {run} is {text!r}"
    return found


def starts_are_recorded(world: World, starts: list[Start]) -> None:
    """Each start is in the record of its run."""
    for run in {start.run for start in starts} & {*world.numbers()}:
        noted = [one.get("process_id") for one in record(world, run).get("starts") or ()]
        processes = [start.process for start in starts if start.run == run]
        assert [one for one in noted if one in processes] == processes, (
            f"run {run} started as processes {processes}; its record says {noted}"
        )


def code_is_recorded(world: World, starts: list[Start]) -> None:
    """The code that a run with a version used is that of the recorded commit, unless the record says otherwise."""
    for run in {start.run for start in starts} & {*world.numbers()}:
        version = record(world, run).get("version_manager")
        if version and not version.keys() & _SAYS_OTHERWISE:
            text = world.project.git("show", f"{version['commit_hash']}:tutorial/answer.py")
            for start in starts:
                assert start.run != run or text == f"VALUE = {start.value}", (
                    f"run {run} ran VALUE = {start.value} of {start.file}, and its record names {version}"
                )


def files_are_kept(world: World, starts: list[Start]) -> None:
    """Nothing that the user or a run wrote is lost."""
    results = [world.logs / start.run / "artifacts" / start.result for start in starts]
    mine = [path for path in world.files if world.run_of(path) not in world.removed]
    for path in (*mine, *(path for path in results if world.run_of(path) not in world.removed)):
        assert path.exists(), f"{path} is lost"
