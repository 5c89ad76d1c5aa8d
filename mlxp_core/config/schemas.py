"""What Hydra's ConfigStore holds under our names: the options, and the targets that they are for.

Targets are strings, so that nothing is imported until it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlxp_core.config.options import BatchOptions, LocalOptions, OAROptions, SLURMOptions


@dataclass(eq=False, repr=False)  # made in every job: what nobody asks for is left out
class SLURMConf(SLURMOptions):
    _target_: str = "hydra_plugins.mlxp.launchers.SLURMLauncher"


@dataclass(eq=False, repr=False)
class OARConf(OAROptions):
    _target_: str = "hydra_plugins.mlxp.launchers.OARLauncher"


@dataclass(eq=False, repr=False)
class MLXPConf(BatchOptions):
    """Options of hydra/launcher=mlxp; those of one scheduler alone are added with `+`, e.g. +hydra.launcher.queue=x."""

    _target_: str = "hydra_plugins.mlxp.launchers.MLXPLauncher"
    # scheduler: OARScheduler, SLURMScheduler, NoScheduler, or the full name of a class; default: the project's
    name: str | None = None
    # job name; default: the last two parts of the run directory, e.g. logs/5
    job_name: str | None = None
    # where there is no scheduler, runs at the same time; default: the number of cores that this process may use
    n_jobs: int | None = None


@dataclass(eq=False, repr=False)
class LocalConf(LocalOptions):
    _target_: str = "hydra_plugins.mlxp.launchers.LocalLauncher"


@dataclass(eq=False, repr=False)
class LoggingConf:
    """Options of hydra/callbacks=mlxp_logging."""

    _target_: str = "mlxp_core.callbacks.LoggingCallback"
    # directory of the numbered runs, relative to where the application is started; default: the project's, else ./logs
    parent_log_dir: str | None = None
    # put the one run of this command into the directory of this number, to resume it; default: the project's, else -1,
    # the next free one
    forced_log_id: int | None = None


@dataclass(eq=False, repr=False)
class VersioningConf:
    """Options of hydra/callbacks=mlxp_versioning."""

    _target_: str = "mlxp_core.callbacks.VersioningCallback"
    # files that git does not know: ask, add, ignore or refuse; default: ask
    untracked: str = "ask"
    # changes since the last commit: ask, commit, keep (for this launch only), ignore or refuse; default: ask
    uncommitted: str = "ask"
    # where the code runs: ask, copy or repository; default: ask
    run_from: str = "ask"
    # directory of the safe copies, relative to where the application is started; default: the project's, else
    # ./.workdir
    parent_work_dir: str | None = None
    # record the installed distributions that the code imports; default: the project's, else false
    compute_requirements: bool | None = None
    # untracked paths that the safe copy gets links to, relative to where the application is started; default: none
    links: list[str] = field(default_factory=list)
