"""What a user does with the package: launches and the command `mlxp`."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Literal

from tests.model.world import World, step
from tests.programs import LOGGING, Result
from tests.projects import COPY, option
from tests.support.processes import wait_until

Kind = Literal["short", "long", "fail"]
Signal = Literal["SIGINT", "SIGKILL", "SIGTERM", "SIGHUP"]
# A launch of a working tree with changes asks nothing
_VERSIONED = [*COPY, *option(untracked="ignore", uncommitted="keep")]


class Commands(World):
    """The steps of a user that start programs of the package."""

    def _words(self, kinds: tuple[Kind, ...], *, versioned: bool, held: bool, launcher: str | None = None) -> list[str]:
        words = ["-m", f"kind={','.join(kinds)}", f"hydra/launcher={launcher or self.cluster.launcher}"]
        words += ["hydra.launcher.option_cmd=['--hold']"] if held else []
        return [*words, *(_VERSIONED if versioned else [LOGGING])]

    @step
    def launch(self, *kinds: Kind, versioned: bool = False, held: bool = False) -> None:
        """Launch a sweep, and wait until it is submitted."""
        has_fault = self.faults.are_armed()
        result = self.note("launch", self.project.run(*self._words(kinds, versioned=versioned, held=held)))
        assert has_fault or result.status == 0, "the launch failed"

    @step
    def launch_interrupted(self, *kinds: Kind, by: Signal, after_s: float, versioned: bool = False) -> None:
        """Launch a sweep, and end the launch by a signal."""
        words = self._words(kinds, versioned=versioned, held=False)
        process = self.in_background(self.project.python, "main.py", *words)
        time.sleep(after_s)
        # Ctrl-C and a lost terminal reach all processes of the terminal
        (os.killpg if by in ("SIGINT", "SIGHUP") else os.kill)(process.pid, signal.Signals[by])
        self._end_of_launch(process)

    def _end_of_launch(self, process: subprocess.Popen[str]) -> None:
        before = {*self.allowed}
        stdout, stderr = process.communicate(timeout=300)
        result = self.note("launch", Result(process.returncode, stdout, stderr), is_hydras=True)
        self.notice_runs()
        if "Nothing was submitted" in result.text:
            new = {*self.allowed} - before
            assert not any(job.run in new for job in self.oracle.jobs()), "the launch says that nothing was submitted"

    @step
    def launch_on_full_disk(self, *kinds: Kind, limit_bytes: int, versioned: bool = False) -> None:
        """Launch a sweep where no file can be larger than that."""
        words = self._words(kinds, versioned=versioned, held=False)
        if self.cluster.launcher == "slurm":  # the limit is the launch's only
            words.append("+hydra.launcher.additional_parameters.propagate=NONE")
        limit = ["prlimit", f"--fsize={limit_bytes}"]
        result = self.project.call(*limit, self.project.python, "main.py", *words, env={"PYTHONDONTWRITEBYTECODE": "1"})
        self.note("launch", result, is_hydras=True)

    @step
    def launch_local(self, *kinds: Kind, n_jobs: int = 2) -> None:
        """Start a sweep on this machine, in another terminal."""
        words = [*self._words(kinds, versioned=False, held=False, launcher="local"), f"hydra.launcher.n_jobs={n_jobs}"]
        process = self.in_background(self.project.python, "main.py", *words)
        self.local.append(process)
        wait_until(lambda: process.poll() is not None or len({*self.numbers()} - {*self.allowed}) == len(kinds))
        self.local_runs |= dict.fromkeys({*self.numbers()} - {*self.allowed}, process)

    @step
    def end_local(self, by: Signal) -> None:
        """End the last sweep on this machine by a signal."""
        process = self.local.pop()
        if by != "SIGKILL":
            self.kills(*(run for run, sweep in self.local_runs.items() if sweep is process))
        (os.killpg if by == "SIGINT" else os.kill)(process.pid, signal.Signals[by])
        self._end_of_launch(process)

    @step
    def ls(self) -> None:
        """List the runs."""
        self.mlxp("ls")

    @step
    def cancel(self, run: str) -> None:
        """Cancel a run; it is not active afterwards."""
        self.kills(run)
        result = self.mlxp("cancel", run, "-y")
        self.kills(run)
        end = time.monotonic() + 120
        while result.status == 0 and self.is_active(run):
            assert time.monotonic() < end, f"run {run} was cancelled, and is still active"
            time.sleep(0.3)

    @step
    def cancel_copy(self, run: str) -> None:
        """Copy the directory of a run, and cancel the copy: the run continues."""
        copy = self.logs / f"{run}-old"
        if not copy.exists():
            self.project.call("cp", "-r", str(self.logs / run), str(copy))
        self.mlxp("cancel", f"logs/{copy.name}", "-y")

    @step
    def resubmit(self, *runs: str) -> None:
        """Submit runs again, or all that have failed; those that are active are not."""
        if {*(runs or self.numbers())} & {*self.local_runs}:
            return  # it would wait for them
        active = {run for run in self.numbers() if self.is_active(run)}
        result = self.mlxp("resubmit", *(runs or ["--failed"]), "-y")
        submitted = {*re.findall(r"^  logs/(\d+)  job \S+", result.stdout, re.MULTILINE)}
        twice = {run for run in submitted & active if len(self.jobs_of(run)) > 1}
        assert not twice, f"runs {sorted(twice)} were active, and were submitted again"
        self.allowed.update(submitted)

    @step
    def resume(self) -> None:
        """Submit what interrupted launches did not."""
        self.mlxp("resume")

    @step
    def rerun(self, run: str) -> None:
        """Start a run again as a new run, on the cluster."""
        self.mlxp("rerun", run, f"hydra/launcher={self.cluster.launcher}", "kind=long")

    @step
    def launch_again_in(self, run: str, kind: Kind) -> None:
        """Continue a run in its directory by a new launch, which is refused while the run is active."""
        forced = f"hydra.callbacks.mlxp_logging.forced_log_id={run}"
        was_active = self.is_active(run)
        words = self._words((kind,), versioned=False, held=False)
        result = self.note("launch", self.project.run(*words, forced))
        assert not (was_active and result.status == 0 and len(self.jobs_of(run)) > 1), f"run {run} was active"
        self.allowed[run] += result.status == 0

    @step
    def clean(self) -> None:
        """Delete the safe copies that no run needs."""
        needed = {}
        for run in self.numbers():
            copy = self.copy_of(run)
            if copy and self.is_active(run):
                needed[run] = copy
        self.mlxp("clean", "-y")
        gone = [run for run, copy in needed.items() if self.is_active(run) and not copy.exists()]
        assert not gone, f"the safe copies of runs {gone}, which are active, were deleted"

    @step
    def clean_runs(self, *statuses: str) -> None:
        """Delete all runs of some statuses, but no active one."""
        before = [run for run in self.numbers() if not (self.logs / run).is_symlink()]
        active = {run for run in before if self.is_active(run)}
        self.mlxp("clean", "--runs", "--status", ",".join(statuses), "-y")
        deleted = {run for run in before if not (self.logs / run).exists()}
        wrong = {run for run in deleted & active if self.is_active(run)}
        assert not wrong, f"runs {sorted(wrong)} were active, and were deleted"
        self.removed |= deleted

    @step
    def fault(self, program: str, fault: str) -> None:
        """Let a program of the scheduler fail at its next call."""
        self.faults.arm(program, fault)

    def copy_of(self, run: str) -> Path | None:
        """Return the safe copy in which a run's script starts it."""
        script = self.logs / run / "script.sh"
        found = re.search(
            r"^cd (\S*/\.workdir/\S+?/[^/\s]+)/tutorial ", script.read_text() if script.exists() else "", re.M
        )
        return Path(found[1]) if found else None
