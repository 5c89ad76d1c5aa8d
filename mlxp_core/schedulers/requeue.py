"""How a job that its time limit would end starts again: what a scheduler says of that, and the words of its script."""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlxp_core.config.options import BatchOptions, lines_of
from mlxp_core.errors import OptionError

# Between the end of the application's time and that of the job: OAR tells up to 11 s late, an application that does not
# end takes 5 s more (10 s, where runs share the job), the request another 10 s
_MARGIN_S = 30


@dataclass(frozen=True)
class Requeue:
    """How a scheduler starts a job again, asked from inside the job.

    Attributes:
        job: the shell word for the job, the same in all its attempts; `by-hand` outside one.
        command: the command that asks for it, and is given that word; empty where the exit status asks.
        exit_status: with which the script ends to be started again, after it ran for `after_s`; 0 where a command asks.
        after_s: how long a job must run until it is told, in seconds.
    """

    job: str
    command: str = ""
    exit_status: int = 0
    after_s: int = 60

    def words(self, options: BatchOptions) -> str:
        """The options of `python -m mlxp_core.jobs.requeue_wrapper`, as shell words."""
        how = f"--exit-status {self.exit_status} --after {self.after_s}"
        if self.command:
            how = f'--command "{self.command}"'
        # How long the application may take to save its work
        seconds = max(options.requeue_signal_s - _MARGIN_S, options.requeue_signal_s // 3, 1)
        told = f"--signal {options.requeue_signal} --seconds {seconds} --requeues {options.max_requeues}"
        return f'{told} \\\n    --job "{self.job}" {how}'


def check_requeue(title: str, requeue: Requeue | None, options: BatchOptions) -> None:
    """Refuse `max_requeues` where it cannot hold.

    Args:
        title: what users call the scheduler.
        requeue: how it starts a job again; None when it does not.
        options: the launcher's.

    Raises:
        OptionError: with what to change.
    """
    if requeue is None:
        raise OptionError(f"{title} cannot start a job again here: remove hydra.launcher.max_requeues.")
    for directive in lines_of("option_cmd", options.option_cmd):
        if re.match(r"--(signal|checkpoint|no-requeue)\b", directive):
            raise OptionError(
                f"hydra.launcher.option_cmd has {directive!r}, and hydra.launcher.max_requeues asks for its own: "
                "remove one of them (requeue_signal and requeue_signal_s say which signal, and when)."
            )
    if options.timeout_min is None:  # the site's limit holds, and the scheduler reckons from that
        return
    told_s = options.timeout_min * 60 - options.requeue_signal_s
    if told_s <= requeue.after_s:
        raise OptionError(
            f"hydra.launcher.timeout_min={options.timeout_min} and hydra.launcher.requeue_signal_s="
            f"{options.requeue_signal_s} leave a job {max(told_s, 0)} s until it is told that its time is nearly over, "
            f"and {title} needs more than {requeue.after_s} s: raise the first or lower the second."
        )
