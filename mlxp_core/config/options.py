"""The options of the launchers, as Hydra's structured configs read them.

They live here, and not in hydra_plugins, because Hydra 1.3 executes the modules there again after they were imported,
which would make every class two. An option that is not set (None or empty) writes no directive: the site's default
holds. What a project's settings file may hold too is None where Hydra's configuration does not set it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from math import inf
from typing import Any

from mlxp_core.errors import OptionError


@dataclass(eq=False, repr=False)  # made in every job: what nobody asks for is left out
class LauncherOptions:
    """Options of every launcher."""

    # job name; default: the last two parts of the run directory, e.g. logs/5
    name: str | None = None
    # shell that runs the script (bash or another POSIX shell); default: the project's, else /bin/bash
    shell_path: str | None = None
    # shell line, or list of lines, run first in the job (e.g. "source ~/.profile"); default: the project's, else none
    shell_config_cmd: Any = None
    # shell line, or list of lines, run second (e.g. "module purge"); default: the project's, else none
    cleanup_cmd: Any = None
    # shell line, or list of lines, run third (e.g. "conda activate torch"); default: the project's, else none
    env_cmd: Any = None
    # true: write every script and submit nothing; default: false
    dry_run: bool = False
    # what a job runs where no command line can start the application again (notebooks, hydra-zen's launch): auto, the
    # pickled task function; never, nothing: the launch stops; default: auto
    submit_function: str = "auto"

    @property
    def shell(self) -> str:
        """The shell that runs the script."""
        return self.shell_path or "/bin/bash"


@dataclass(eq=False, repr=False)
class LocalOptions(LauncherOptions):
    """Options of hydra/launcher=local."""

    # runs at the same time; default: the number of cores that this process may use
    n_jobs: int | None = None


@dataclass(eq=False, repr=False)
class BatchOptions(LauncherOptions):
    """Options of every batch scheduler; names and meanings are those of hydra-submitit-launcher."""

    # longest duration, in minutes; default: the site's
    timeout_min: int | None = None
    # number of nodes; default: the site's
    nodes: int | None = None
    # number of tasks on each node; default: the site's
    tasks_per_node: int | None = None
    # number of cores for each task; default: the site's
    cpus_per_task: int | None = None
    # number of GPUs on each node; default: the site's
    gpus_per_node: int | None = None
    # memory on each node, in GB (1024 MB); default: the site's
    mem_gb: float | None = None
    # raw directives in the scheduler's own syntax, added last, e.g. ["--mail-type=END"]; default: the project's, else
    # none
    option_cmd: Any = None
    # runs of the sweep at the same time, at most (SLURM only); default: as many as the scheduler starts
    array_parallelism: int | None = None
    # runs that share one job, its resources and its time; default: 1
    runs_per_job: int = 1
    # of these, so many at the same time; default: 1
    parallel_runs: int = 1
    # jobs in one request, at most; default: as many as the scheduler takes
    max_array_size: int | None = None
    # how long a request that the scheduler cannot take now is tried again, in minutes; default: 10
    submit_retry_min: float = 10
    # how often a job that its time limit would end is started again; default: 0, never
    max_requeues: int = 0
    # how long before the time limit the application is told, in seconds; default: 90
    requeue_signal_s: int = 90
    # by which signal: USR1 or USR2; default: USR2
    requeue_signal: str = "USR2"
    # whether the launch waits for its runs and returns their results; default: only for a sweeper that needs them
    wait: bool | None = None
    # how often the scheduler is asked about all runs, when somebody waits for them, in seconds; default: 10
    poll_interval_s: float = 10


@dataclass(eq=False, repr=False)
class SLURMOptions(BatchOptions):
    """Options of hydra/launcher=slurm; see the manual of sbatch."""

    # partition to submit to; default: the site's
    partition: str | None = None
    # quality of service; default: the site's
    qos: str | None = None
    # account to charge; default: the site's
    account: str | None = None
    # node features asked for, e.g. "a100|h100"; default: none
    constraint: str | None = None
    # generic resources on each node, e.g. "gpu:a100:2"; default: none
    gres: str | None = None
    # nodes not to use, e.g. "node[1-3]"; default: none
    exclude: str | None = None
    # a comment that SLURM keeps with the job; default: none
    comment: str | None = None
    # number of cores for each GPU; default: the site's
    cpus_per_gpu: int | None = None
    # number of GPUs for each task; default: none
    gpus_per_task: int | None = None
    # memory for each core, with unit, e.g. "4G"; default: the site's
    mem_per_cpu: str | None = None
    # memory for each GPU, with unit, e.g. "40G"; default: the site's
    mem_per_gpu: str | None = None
    # further options of sbatch by name, e.g. {mail-type: END, exclusive: true}; default: none
    additional_parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False, repr=False)
class OAROptions(BatchOptions):
    """Options of hydra/launcher=oar; see the manual of oarsub."""

    # queue to submit to; default: the site's
    queue: str | None = None
    # project to charge; default: the site's
    project: str | None = None
    # job types, e.g. [besteffort, idempotent]; default: none
    types: list[str] = field(default_factory=list)
    # expression over resource properties (-p), e.g. "gpu_model='A100' AND cluster='x'"; default: none
    properties: str | None = None
    # the site's property that holds a node's memory in MB, needed for mem_gb; default: none
    memory_property: str | None = None


# "none of it"; every other number is a size
_MAY_BE_0 = ("gpus_per_node", "submit_retry_min", "max_requeues")
# What a scheduler may send and a run may catch; TERM, INT and HUP are how a run is ended
_REQUEUE_SIGNALS = ("USR1", "USR2")


def read_options(schema: type[LauncherOptions], values: dict[str, Any]) -> Any:
    """The options of one launch as an instance of `schema`.

    Hydra's structured configs have checked types and names already; what is left is an option that was added with
    `+` and that nobody knows.

    Raises:
        OptionError: an option that `schema` does not have, or a number that cannot be.
    """
    known = [option.name for option in fields(schema)]
    for name in values:
        if name not in known:
            from difflib import get_close_matches

            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has: {', '.join(known)}."
            raise OptionError(f"hydra.launcher.{name} is not an option of this launcher; {hint}")
    options = schema(**values)
    for option in fields(schema):
        value = getattr(options, option.name)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if is_number and not (0 < value < inf or (value == 0 and option.name in _MAY_BE_0)):
            raise OptionError(f"hydra.launcher.{option.name}={value} cannot be: give a number above 0.")
    if options.submit_function not in ("auto", "never"):
        raise OptionError(f"hydra.launcher.submit_function={options.submit_function} cannot be: it is auto or never.")
    if isinstance(options, BatchOptions):
        name = options.requeue_signal
        options.requeue_signal = name.upper().removeprefix("SIG")
        if options.requeue_signal not in _REQUEUE_SIGNALS:
            raise OptionError(f"hydra.launcher.requeue_signal={name} cannot be: it is {' or '.join(_REQUEUE_SIGNALS)}.")
    return options


def lines_of(name: str, value: Any) -> list[str]:
    """The lines of an option that takes a string or a list of strings.

    Raises:
        OptionError: it is neither.
    """
    if not value:
        return []
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise OptionError(f"hydra.launcher.{name} must be a string or a list of strings, not {value!r}.")
    return lines
