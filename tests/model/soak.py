"""Random sequences for a long time: `python -m tests.model.soak MINUTES SCHEDULER,... [SEED]`."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import nullcontext

from tests import clusters
from tests.clusters import cluster_python, start, using_oar
from tests.model.machine import HOSTILE, play

# Processes with the same name share an environment for the cluster (see cluster_python)
_SHARED = "PYTEST_XDIST_TESTRUNUID"
# Not that of the tests, which make theirs again while this plays
clusters.ENVIRONMENTS = clusters.ENVIRONMENTS.with_name(f"{clusters.ENVIRONMENTS.name}-soak")


def main(minutes: str, schedulers: str, number: str | None = None) -> int:
    """Play until the time limit, in a process for each scheduler; return the exit status."""
    seed = number or str(int(time.time()))
    if "," not in schedulers:
        return soak(float(minutes), schedulers, int(seed))
    os.environ.setdefault(_SHARED, f"soak-{os.getpid()}")
    cluster_python()
    command = [sys.executable, "-m", "tests.model.soak", minutes]
    processes = [subprocess.Popen([*command, scheduler, seed]) for scheduler in schedulers.split(",")]
    return max(process.wait() for process in processes)


def soak(minutes: float, scheduler: str, seed: int) -> int:
    """Play on one scheduler."""
    end, violations = time.monotonic() + 60 * minutes, 0
    cluster = start(scheduler)
    while time.monotonic() < end:
        print(f"{scheduler}: seed {seed}", file=sys.stderr, flush=True)
        with using_oar() if scheduler == "oar" else nullcontext():  # between, tests that stop OAR have their turn
            violations += len(play(cluster, HOSTILE, number=seed, sequences=2, length=25, until=end))
        seed += 1
    print(f"{scheduler}: {violations} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
