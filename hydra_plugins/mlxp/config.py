"""Store the options of our launchers (slurm, oar, local, mlxp) and callbacks (mlxp_logging, mlxp_versioning).

Each launcher has a second name (`slurm_base`, ...): a project's own conf/hydra/launcher/slurm.yaml hides ours, and can
extend it under this name.
"""

from mlxp_core.config.lazy_schema import store_lazily

_LAUNCHERS = (("slurm", "SLURMConf"), ("oar", "OARConf"), ("local", "LocalConf"), ("mlxp", "MLXPConf"))


def _store() -> None:
    for name, schema in _LAUNCHERS:
        for alias in (name, f"{name}_base"):
            store_lazily(alias, "hydra/launcher", schema)
    for name, schema in (("mlxp_logging", "LoggingConf"), ("mlxp_versioning", "VersioningConf")):
        store_lazily(name, "hydra/callbacks", schema, package=f"hydra.callbacks.{name}")


_store()
