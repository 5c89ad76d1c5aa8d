"""The nodes of Hydra's ConfigStore under our names: options, and the class that each node instantiates.

The classes are given by name, so that they are imported only when they are used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlxp_core.config.options import BatchOptions, LocalOptions, OAROptions, SLURMOptions


@dataclass(eq=False, repr=False)  # created in every job: without what is not used
class SLURMConf(SLURMOptions):
    _target_: str = "hydra_plugins.mlxp.launchers.SLURMLauncher"


@dataclass(eq=False, repr=False)
class OARConf(OAROptions):
    _target_: str = "hydra_plugins.mlxp.launchers.OARLauncher"


@dataclass(eq=False, repr=False)
class MLXPConf(BatchOptions):
    """Options of hydra/launcher=mlxp; add those of one scheduler with `+`, e.g. +hydra.launcher.queue=x."""

    _target_: str = "hydra_plugins.mlxp.launchers.MLXPLauncher"
    # scheduler: OARScheduler, SLURMScheduler, NoScheduler, or the full name of a class; default: the project's
    name: str | None = None
    # job name; default: the last two parts of the run directory, e.g. logs/5
    job_name: str | None = None
    # without a scheduler, maximum number of concurrent runs; default: number of cores that this process may use
    n_jobs: int | None = None


@dataclass(eq=False, repr=False)
class LocalConf(LocalOptions):
    _target_: str = "hydra_plugins.mlxp.launchers.LocalLauncher"


@dataclass(eq=False, repr=False)
class LoggingConf:
    """Options of hydra/callbacks=mlxp_logging."""

    _target_: str = "mlxp_core.callbacks.LoggingCallback"
    # directory of the numbered runs, relative to the working directory; default: the project's, else ./logs
    parent_log_dir: str | None = None
    # number of the run directory, for a command with a single run, for example to resume that run; default: the
    # project's, else -1, the next free number
    forced_log_id: int | None = None


@dataclass(eq=False, repr=False)
class VersioningConf:
    """Options of hydra/callbacks=mlxp_versioning."""

    _target_: str = "mlxp_core.callbacks.VersioningCallback"
    # what to do with untracked files: ask, add, ignore or refuse; default: ask
    untracked: str = "ask"
    # what to do with uncommitted changes: ask, commit, keep (for this launch only), ignore or refuse; default: ask
    uncommitted: str = "ask"
    # where to run the code: ask, copy or repository; default: ask
    run_from: str = "ask"
    # directory of the safe copies, relative to the working directory; default: the project's, else ./.workdir
    parent_work_dir: str | None = None
    # record the installed distributions that the code imports; default: the project's, else false
    compute_requirements: bool | None = None
    # untracked paths to link into the safe copy, relative to the working directory; default: none
    links: list[str] = field(default_factory=list)
