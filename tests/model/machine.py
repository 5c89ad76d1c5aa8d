"""Random sequences of steps: which there are, and how often each is taken."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.clusters import Cluster
from tests.model.faults import FAULTS, PROGRAMS
from tests.model.user import User, user_of
from tests.model.world import Violation

# A step, its arguments by name, and "args" for a list of arguments; the argument "run" counts from the newest run
Step = tuple[str, dict[str, st.SearchStrategy[Any]]]
_RUN = {"run": st.integers(0, 4)}
_KINDS = {"args": st.lists(st.sampled_from(["long", "short", "fail", "long"]), min_size=1, max_size=3)}
_VERSIONED = {"versioned": st.booleans()}
_NOTHING: dict[str, st.SearchStrategy[Any]] = {}

# What never depends on how fast the machine is
QUIET: list[Step] = [
    # Often, because the others need a run
    *[("launch", {**_KINDS, **_VERSIONED, "held": st.booleans()})] * 3,
    ("finish", {**_RUN, "word": st.sampled_from(["short", "fail"])}),
    *[("submit_by_hand", _RUN)] * 2,
    *[("start_by_hand", _RUN)] * 2,
    ("cancel", _RUN),
    ("cancel_jobs", _RUN),
    ("cancel_copy", _RUN),
    ("kill", _RUN),
    ("hold", _RUN),
    ("release", _RUN),
    ("resubmit", {"args": st.just([])}),
    ("launch_again_in", {**_RUN, "kind": st.sampled_from(["long", "short"])}),
    ("clean", _NOTHING),
    ("clean_runs", {"args": st.sampled_from([["FAILED"], ["UNKNOWN", "COMPLETE"], ["CANCELLED"]])}),
    ("edit", {"value": st.integers(3, 9)}),
    ("stage", _NOTHING),
    ("commit", _NOTHING),
    ("checkout", {"back": st.integers(0, 2)}),
    ("write_note", _RUN),
    ("write_note_in_copies", _NOTHING),
    ("move", {"name": st.sampled_from(["logs", ".workdir"])}),
    ("launch_on_full_disk", {**_KINDS, **_VERSIONED, "limit_bytes": st.sampled_from([0, 500, 2000])}),
]
# What ends launches at any moment, and what takes minutes
HOSTILE: list[Step] = [
    *QUIET,
    (
        "launch_interrupted",
        {
            **_KINDS,
            **_VERSIONED,
            "by": st.sampled_from(["SIGINT", "SIGKILL", "SIGHUP", "SIGTERM"]),
            "after_s": st.floats(0, 2.5).map(lambda value: round(value, 2)),
        },
    ),
    ("resume", _NOTHING),
    ("resubmit_one", _RUN),
    ("rerun", _RUN),
    ("launch_local", {**_KINDS, "n_jobs": st.integers(1, 2)}),
    ("end_local", {"by": st.sampled_from(["SIGINT", "SIGKILL", "SIGTERM"])}),
    ("fault", {"program": st.sampled_from(PROGRAMS), "fault": st.sampled_from(sorted(FAULTS))}),
    ("fault", {"program": st.sampled_from(PROGRAMS), "fault": st.sampled_from(sorted(FAULTS))}),
    ("requeue", _RUN),
    ("remove_run", _RUN),
    ("ls", _NOTHING),
    ("wait", _NOTHING),
]


class TimeIsUp(KeyboardInterrupt):
    """The time limit is reached; Hypothesis handles no such error."""


def play(
    cluster: Cluster, steps: Sequence[Step], *, number: int, sequences: int, length: int, until: float | None = None
) -> list[str]:
    """Play random sequences.

    Args:
        cluster: The scheduler.
        steps: The steps that there are.
        number: Seed: the same number gives the same sequences.
        sequences: How many.
        length: Steps in a sequence.
        until: When to stop (time.monotonic); None for no such time.

    Returns:
        A message for each sequence after which something was not as it must be, with its steps as code.
    """
    violations: list[str] = []
    played = [0, 0]

    class Machine(RuleBasedStateMachine):
        """A user, until something is not as it must be."""

        def __init__(self) -> None:
            super().__init__()
            self.user: User | None = None
            played[0] += 1
            if until is not None and time.monotonic() > until:
                raise TimeIsUp
            if played[0] > 1:  # the first is the one that Hypothesis finds the simplest: one step, again and again
                self.user = user_of(cluster, is_patient=until is None or number % 2 == 0)
                self.take("launch", {"args": ["long", "short"]})

        def take(self, name: str, arguments: dict[str, Any]) -> None:
            """Take a step, if it is possible."""
            if self.user is None:
                return
            if "run" in arguments:
                numbers = self.user.numbers()
                if not numbers:
                    return
                arguments["run"] = numbers[-1 - arguments["run"] % len(numbers)]
            if name == "resubmit_one":
                name, arguments = "resubmit", {"args": [arguments["run"]]}
            if name == "end_local" and not self.user.local:
                return
            positional = arguments.pop("args", [])
            played[1] += 1
            try:
                getattr(self.user, name)(*positional, **arguments)
            except Violation as violation:
                violations.append(str(violation))
                print(f"{'=' * 80}\n{violation}\n", file=sys.stderr, flush=True)
                self.teardown()

        def teardown(self) -> None:
            """End what is left of the user; later steps of the sequence do nothing."""
            if self.user is not None:
                self.user.__exit__()
            self.user = None

    any_rule: Any = rule
    for index, (name, arguments) in enumerate(steps):
        taking = any_rule(**arguments)(_taking(name, index))
        setattr(Machine, taking.__name__, taking)
    with suppress(TimeIsUp):
        run_state_machine_as_test(
            seed(number)(Machine),
            settings=settings(
                max_examples=sequences + 1,
                stateful_step_count=length,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
                verbosity=Verbosity.quiet,
            ),
        )
    print(f"{played[0] - 1} sequences, {played[1]} steps, {len(violations)} violations", file=sys.stderr, flush=True)
    return violations


def _taking(name: str, index: int) -> Callable[..., None]:
    """Return the method of a step."""

    def taking(self: Any, **arguments: Any) -> None:
        self.take(name, arguments)

    taking.__name__ = f"{name}_{index}"
    return taking
