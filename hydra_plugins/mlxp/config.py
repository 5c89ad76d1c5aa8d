"""What users choose by name: hydra/launcher=slurm, oar, local and hydra/callbacks=mlxp_logging.

Targets are strings, so that nothing is imported until it is used. Each launcher has a second name (`slurm_base`, ...),
from which a project's own conf/hydra/launcher/slurm.yaml, which hides ours, can start.

No `from __future__ import annotations` here: Hydra 1.3 executes this module without entering it into sys.modules, and
dataclasses cannot read annotations that are strings there.
"""

from dataclasses import dataclass

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


def _store() -> None:
    store = ConfigStore.instance()
    for name, conf in (("slurm", SLURMConf), ("oar", OARConf), ("local", LocalConf)):
        for alias in (name, f"{name}_base"):
            store.store(group="hydra/launcher", name=alias, node=conf, provider="hydra-mlxp")
    store.store(
        group="hydra/callbacks",
        name="mlxp_logging",
        node=LoggingConf,
        package="hydra.callbacks.mlxp_logging",
        provider="hydra-mlxp",
    )


_store()
