"""What Hydra's ConfigStore holds under our names: the options, and the targets that they are for.

Targets are strings, so that nothing is imported until it is used.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from mlxp_core.options import LocalOptions, OAROptions, SLURMOptions


@dataclass(eq=False, repr=False)  # made in every job: what nobody asks for is left out
class SLURMConf(SLURMOptions):
    _target_: str = "hydra_plugins.mlxp.launchers.SLURMLauncher"


@dataclass(eq=False, repr=False)
class OARConf(OAROptions):
    _target_: str = "hydra_plugins.mlxp.launchers.OARLauncher"


@dataclass(eq=False, repr=False)
class LocalConf(LocalOptions):
    _target_: str = "hydra_plugins.mlxp.launchers.LocalLauncher"


@dataclass(eq=False, repr=False)
class LoggingConf:
    """Options of hydra/callbacks=mlxp_logging."""

    _target_: str = "mlxp_core.callbacks.LoggingCallback"
    # directory of the numbered runs, relative to where the application is started; default: ./logs
    parent_log_dir: str = "./logs"
    # put the one run of this command into the directory of this number, to resume it; default: -1, the next free one
    forced_log_id: int = -1


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
    # directory of the safe copies, relative to where the application is started; default: ./.workdir
    parent_work_dir: str = "./.workdir"
    # record the installed distributions that the code imports; default: false
    compute_requirements: bool = False
    # untracked paths that the safe copy gets links to, relative to where the application is started; default: none
    links: list[str] = field(default_factory=list)
