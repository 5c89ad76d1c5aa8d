"""A sweep whose runs a batch scheduler takes: submit, write the job ids down, and leave."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.types import HydraContext
from hydra.utils import get_class
from omegaconf import DictConfig

from mlxp_core import console
from mlxp_core.commands import Answer
from mlxp_core.errors import (
    LaunchInterruptedError,
    MlxpError,
    OptionError,
    RunDirectoryError,
    SubmissionError,
    SubmissionUnknownError,
)
from mlxp_core.interrupts import ALL_SIGNALS, interrupts_blocked
from mlxp_core.options import OAROptions, SLURMOptions
from mlxp_core.run_directory import cannot_write
from mlxp_core.run_info import now
from mlxp_core.schedulers import OARScheduler, Scheduler, SLURMScheduler
from mlxp_core.sweep import Run, Sweep

_BASIC_SWEEPER = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"


class BatchSweep(Sweep):
    """A sweep whose runs a batch scheduler takes."""

    scheduler: Scheduler

    def __init__(self, options: dict[str, Any], config: DictConfig, hydra_context: HydraContext) -> None:
        super().__init__(options, config, hydra_context)
        # The runs have not even started when launch() returns, and a sweeper that optimises would be handed nothing.
        sweeper = get_class(config.hydra.sweeper._target_)
        # By name: Hydra 1.3 executes a plugin's module again, which makes another class of the same name
        if _BASIC_SWEEPER not in {f"{parent.__module__}.{parent.__qualname__}" for parent in sweeper.__mro__}:
            raise OptionError(
                f"The sweeper {sweeper.__name__} may need the results of its runs, and jobs submitted to "
                f"{self.scheduler.title} have none yet: use hydra/launcher=local with it."
            )

    def _start(self, runs: Sequence[Run]) -> Sequence[JobReturn]:
        single = len(runs) == 1 and not self._launched  # not the rest of a sweep in batches
        if single:
            console.say(runs[0].job.run.script.read_text(encoding="utf-8"))
        else:
            console.say(f"Submitting {len(runs)} runs to {self.scheduler.title}:")
        submitted = 0
        try:
            for run in runs:
                with interrupts_blocked(ALL_SIGNALS):  # so that each run is submitted and noted, or not submitted
                    job_id, answer = self.scheduler.submit(run.job)
                    submitted += 1
                    self._record(run, job_id)
                self._show(run, job_id, answer, single=single)
        except (MlxpError, KeyboardInterrupt) as error:
            raise self._broken_off(error, runs, submitted) from None
        self._launched = True
        console.say(
            f"\nSee the {console.plural(runs, 'job')} with '{self.scheduler.list_command}'; each run's directory "
            "holds log.stdout, log.stderr and its state (info.yaml)."
        )
        return []

    def _record(self, run: Run, job_id: str) -> None:
        """Add to the sweep's own record, a line a run: the run's directory belongs to the job by now."""
        line = {"run": str(run.job.run.path), "scheduler": type(self.scheduler).__name__, "job_id": job_id, "at": now()}
        record = self.sweep_dir / "submissions.jsonl"
        try:
            with record.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        except OSError as error:
            raise RunDirectoryError(f"{run.label} is job {job_id}, but {cannot_write(record, error)}") from error

    def _show(self, run: Run, job_id: str, answer: Answer, *, single: bool) -> None:
        if single:
            console.say(f"{answer.text}\n\nJob launched!")
            return
        console.say(f"  {run.label}  job {job_id}  {' '.join(run.overrides)}")
        if answer.exit_status != 0:
            console.say(f"    but {self.scheduler.title} also said: {answer.text}")

    def _broken_off(self, error: BaseException, runs: Sequence[Run], submitted: int) -> MlxpError:
        """Tidy up after a launch that ended half-way, and say what is submitted and what is not."""
        lines = [str(error) or "Interrupted."]
        unknown = runs[submitted : submitted + isinstance(error, SubmissionUnknownError)]
        missing = runs[submitted + len(unknown) :]
        lines += [f"It would be {run.label}: {' '.join(run.overrides)}" for run in unknown]
        self._launched |= bool(submitted or unknown)
        self._discard(missing)
        if submitted:
            lines.append(f"{console.count(runs[:submitted], 'run')} of {len(runs)} submitted; these stay.")
        elif not unknown:
            lines.append("Nothing was submitted.")
        if missing and len(missing) < len(runs):
            lines.append("Not submitted, launch them again: " + "; ".join(" ".join(run.overrides) for run in missing))
        kind = LaunchInterruptedError if isinstance(error, KeyboardInterrupt) else SubmissionError
        return kind("\n".join(lines))


class SLURMSweep(BatchSweep):
    """A sweep on SLURM."""

    options_class = SLURMOptions
    scheduler_class = SLURMScheduler


class OARSweep(BatchSweep):
    """A sweep on OAR."""

    options_class = OAROptions
    scheduler_class = OARScheduler
