"""The options of the launchers, as structured configs for Hydra.

They are not in hydra_plugins, because Hydra 1.3 executes the modules there again after their import, which would create
every class twice. An option that is not set (None or empty) writes no directive, so the site's default applies.
Options that a project's settings file may set too are None by default.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from math import inf
from typing import Any

from mlxp_core.errors import OptionError


@dataclass(eq=False, repr=False)  # created in every job: without what is not used
class LauncherOptions:
    """Options of every launcher."""

    # job name; default: the last two parts of the run directory, e.g. logs/5
    name: str | None = None
    # shell that runs the script (bash or another POSIX shell); default: the project's, else /bin/bash
    shell_path: str | None = None
    # shell line, or list of lines, to run first in the job, e.g. "source ~/.profile"; default: the project's, else none
    shell_config_cmd: Any = None
    # shell line, or list of lines, to run second, e.g. "module purge"; default: the project's, else none
    cleanup_cmd: Any = None
    # shell line, or list of lines, to run third, e.g. "conda activate torch"; default: the project's, else none
    env_cmd: Any = None
    # write all scripts and submit nothing; default: false
    dry_run: bool = False
    # if no command line can start the application again (notebooks, hydra-zen's launch): auto runs the pickled task
    # function in the jobs, never stops the launch; default: auto
    submit_function: str = "auto"

    @property
    def shell(self) -> str:
        """The shell that runs the script."""
        return self.shell_path or "/bin/bash"


@dataclass(eq=False, repr=False)
class LocalOptions(LauncherOptions):
    """Options of hydra/launcher=local."""

    # maximum number of concurrent runs; default: number of cores that this process may use
    n_jobs: int | None = None


@dataclass(eq=False, repr=False)
class BatchOptions(LauncherOptions):
    """Options of every batch scheduler; names and meanings are those of hydra-submitit-launcher."""

    # time limit of a job, in minutes; default: the site's
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
    # raw directives in the scheduler's own syntax, to add last, e.g. ["--mail-type=END"]; default: the project's, else
    # none
    option_cmd: Any = None
    # maximum number of concurrent jobs of the sweep (SLURM only); default: no limit
    array_parallelism: int | None = None
    # number of runs that share one job, its resources and its time limit; default: 1
    runs_per_job: int = 1
    # number of these that run at the same time; default: 1
    parallel_runs: int = 1
    # maximum number of jobs in one request; default: the scheduler's limit
    max_array_size: int | None = None
    # how long to retry a request that the scheduler cannot accept at the moment, in minutes; default: 10
    submit_retry_min: float = 10
    # how often to requeue a job that reaches its time limit; default: 0
    max_requeues: int = 0
    # how long before the time limit to send the application the signal, in seconds; default: 90
    requeue_signal_s: int = 90
    # signal to send before the time limit: USR1 or USR2; default: USR2
    requeue_signal: str = "USR2"
    # wait for the runs and return their results; default: only for a sweeper that needs them
    wait: bool | None = None
    # interval between queries to the scheduler while waiting, in seconds; default: 10
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
    # required node features, e.g. "a100|h100"; default: none
    constraint: str | None = None
    # generic resources on each node, e.g. "gpu:a100:2"; default: none
    gres: str | None = None
    # nodes not to use, e.g. "node[1-3]"; default: none
    exclude: str | None = None
    # comment that SLURM stores with the job; default: none
    comment: str | None = None
    # number of cores for each GPU; default: the site's
    cpus_per_gpu: int | None = None
    # number of GPUs for each task; default: none
    gpus_per_task: int | None = None
    # memory for each core, with unit, e.g. "4G"; default: the site's
    mem_per_cpu: str | None = None
    # memory for each GPU, with unit, e.g. "40G"; default: the site's
    mem_per_gpu: str | None = None
    # other options of sbatch, by name, e.g. {mail-type: END, exclusive: true}; default: none
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
    # condition on resource properties (-p), e.g. "gpu_model='A100' AND cluster='x'"; default: none
    properties: str | None = None
    # name of the site's resource property for the memory of a node, in MB; required for mem_gb; default: none
    memory_property: str | None = None


# 0 means none; every other number must be positive
_MAY_BE_0 = ("gpus_per_node", "submit_retry_min", "max_requeues")
# Signals that a scheduler may send before the time limit and an application may catch; TERM, INT and HUP end a run
_REQUEUE_SIGNALS = ("USR1", "USR2")


def read_options(schema: type[LauncherOptions], values: dict[str, Any]) -> Any:
    """Return the options of a launch as an instance of `schema`.

    Hydra's structured configs have checked types and names, except the names of options that were added with `+`.

    Raises:
        OptionError: `schema` has no such option, or a value is not allowed.
    """
    known = [option.name for option in fields(schema)]
    for name in values:
        if name not in known:
            hint = suggestion(name, known) or f" The options are {', '.join(known)}."
            raise OptionError(f"hydra.launcher.{name} is not an option of this launcher.{hint}")
    options = schema(**values)
    for option in fields(schema):
        _check_number(
            option.name, getattr(options, option.name), "number" if "float" in str(option.type) else "integer"
        )
    if options.submit_function not in ("auto", "never"):
        raise OptionError(f"hydra.launcher.submit_function must be auto or never, got {options.submit_function}.")
    if isinstance(options, BatchOptions):
        name = options.requeue_signal
        options.requeue_signal = name.upper().removeprefix("SIG")
        if options.requeue_signal not in _REQUEUE_SIGNALS:
            raise OptionError(f"hydra.launcher.requeue_signal must be {' or '.join(_REQUEUE_SIGNALS)}, got {name}.")
    return options


def _check_number(name: str, value: Any, kind: str) -> None:
    may_be_0 = name in _MAY_BE_0
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and not (0 < value < inf or (value == 0 and may_be_0)):
        allowed = f"0 or a positive {kind}" if may_be_0 else f"a positive {kind}"
        raise OptionError(f"hydra.launcher.{name} must be {allowed}, got {value}.")


def suggestion(name: object, known: Iterable[str]) -> str:
    """Return ` Did you mean x?` for an unknown name that is close to a known one; otherwise nothing."""
    from difflib import get_close_matches

    close = get_close_matches(str(name), list(known), n=1)
    return f" Did you mean {close[0]}?" if close else ""


def lines_of(name: str, value: Any) -> list[str]:
    """Return the lines of an option that takes a string or a list of strings.

    Raises:
        OptionError: The value is neither.
    """
    if not value:
        return []
    lines = [value] if isinstance(value, str) else value
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise OptionError(f"hydra.launcher.{name} must be a string or a list of strings, got {value!r}.")
    return lines
