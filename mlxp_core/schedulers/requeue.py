"""Jobs that are requeued at their time limit: how a scheduler does it, and what it means for the job script."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlxp_core.config.options import BatchOptions, lines_of
from mlxp_core.errors import OptionError

# Time between the end of the application's grace period and that of the job: OAR sends the signal up to 11 s late, an
# application that does not end takes 5 s more (10 s where runs share the job), the request another 10 s
_MARGIN_S = 30


@dataclass(frozen=True)
class Requeue:
    """How a job asks its scheduler to requeue it: by a command, or by the exit status of its script.

    Attributes:
        job: Shell word for the id of the job, which stays the same when it is requeued; `by-hand` outside of a job.
        command: Command that requeues the job with this id; empty if the exit status does it.
        exit_status: Exit status that requeues a job which ran for `after_s`; 0 if a command does it.
        after_s: Minimum time that a job must run before it is notified, in seconds.
    """

    job: str
    command: str = ""
    exit_status: int = 0
    after_s: int = 60

    def words(self, options: BatchOptions) -> str:
        """Return the options of `python -m mlxp_core.jobs.requeue_wrapper`, as shell words."""
        request = f"--exit-status {self.exit_status} --min-runtime-s {self.after_s}"
        if self.command:
            request = f'--command "{self.command}"'
        # Time that the application has to save its work
        grace_s = max(options.requeue_signal_s - _MARGIN_S, options.requeue_signal_s // 3, 1)
        limits = f"--signal {options.requeue_signal} --grace-s {grace_s} --max-requeues {options.max_requeues}"
        return f'{limits} \\\n    --job "{self.job}" {request}'


def check_requeue(title: str, requeue: Requeue | None, options: BatchOptions) -> None:
    """Refuse options with which jobs cannot be requeued.

    Args:
        title: Name of the scheduler in messages.
        requeue: How its jobs ask to be requeued; None if they cannot.
        options: Options with `max_requeues`.

    Raises:
        OptionError: Jobs cannot be requeued; the message says what to change.
    """
    if requeue is None:
        raise OptionError(f"{title} cannot requeue jobs here: remove hydra.launcher.max_requeues.")
    for directive in lines_of("option_cmd", options.option_cmd):
        if re.match(r"--(signal|checkpoint|no-requeue)\b", directive):
            raise OptionError(
                f"hydra.launcher.option_cmd contains {directive!r}, and hydra.launcher.max_requeues adds its own "
                "directive: remove one of them (requeue_signal and requeue_signal_s set the signal and its time)."
            )
    if options.timeout_min is None:  # the signal comes before the site's limit
        return
    signal_after_s = options.timeout_min * 60 - options.requeue_signal_s
    if signal_after_s <= requeue.after_s:
        raise OptionError(
            f"hydra.launcher.timeout_min={options.timeout_min} and hydra.launcher.requeue_signal_s="
            f"{options.requeue_signal_s} give a job {max(signal_after_s, 0)} s before the signal, and {title} needs "
            f"more than {requeue.after_s} s: raise the first or lower the second."
        )
