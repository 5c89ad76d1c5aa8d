"""What users choose by name: hydra/launcher=slurm, oar, local and hydra/callbacks=mlxp_logging, mlxp_versioning.

Targets are strings, so that nothing is imported until it is used. Each launcher has a second name (`slurm_base`, ...),
from which a project's own conf/hydra/launcher/slurm.yaml, which hides ours, can start.

No `from __future__ import annotations` here: Hydra 1.3 executes this module without entering it into sys.modules, and
dataclasses cannot read annotations that are strings there.
"""

from dataclasses import dataclass, field

from hydra.core.config_store import ConfigStore

from mlxp_core.options import LocalOptions, OAROptions, SLURMOptions


@dataclass
class SLURMConf(SLURMOptions):
    _target_: str = "hydra_plugins.mlxp.launchers.SLURMLauncher"


@dataclass
class OARConf(OAROptions):
    _target_: str = "hydra_plugins.mlxp.launchers.OARLauncher"


@dataclass
class LocalConf(LocalOptions):
    _target_: str = "hydra_plugins.mlxp.launchers.LocalLauncher"


@dataclass
class LoggingConf:
    """Options of hydra/callbacks=mlxp_logging."""

    _target_: str = "mlxp_core.callbacks.LoggingCallback"
    # directory of the numbered runs, relative to where the application is started; default: ./logs
    parent_log_dir: str = "./logs"
    # put the one run of this command into the directory of this number, to resume it; default: -1, the next free one
    forced_log_id: int = -1


@dataclass
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


def _store() -> None:
    store = ConfigStore.instance()
    for name, launcher in (("slurm", SLURMConf), ("oar", OARConf), ("local", LocalConf)):
        for alias in (name, f"{name}_base"):
            store.store(group="hydra/launcher", name=alias, node=launcher, provider="hydra-mlxp")
    for name, callback in (("mlxp_logging", LoggingConf), ("mlxp_versioning", VersioningConf)):
        package = f"hydra.callbacks.{name}"
        store.store(group="hydra/callbacks", name=name, node=callback, package=package, provider="hydra-mlxp")


_store()
