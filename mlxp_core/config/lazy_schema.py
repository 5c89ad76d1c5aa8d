"""Schemas that are made when they are asked for.

OmegaConf takes 10 ms to make one of ours of its dataclass, and the ConfigStore, filled in every Hydra program on the
machine, would make them all.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import DictConfig, OmegaConf

_PROVIDER = "hydra-mlxp"


@cache  # a composition asks several times, and copies what it gets
def _make(schema: str) -> DictConfig:
    made: DictConfig = OmegaConf.structured(getattr(import_module("mlxp_core.config.schemas"), schema))
    return made


class LazySchema(ConfigNode):
    """A node of the ConfigStore that is made of a dataclass in mlxp_core.config.schemas, given by name."""

    def __init__(self, name: str, group: str, package: str | None, schema: str) -> None:
        self._schema = schema
        self._node: DictConfig | None = None
        self.name, self.group, self.package, self.provider = name, group, package, _PROVIDER

    @property
    def node(self) -> DictConfig:
        return _make(self._schema) if self._node is None else self._node

    @node.setter
    def node(self, value: DictConfig) -> None:
        self._node = value


def store_lazily(name: str, group: str, schema: str, package: str | None = None) -> None:
    """Store a schema as ConfigStore.store would."""
    # Its own `store` makes the node at once; this is the rest of what it does
    place = ConfigStore.instance().repo
    for part in group.split("/"):
        place = place.setdefault(part, {})
    place[f"{name}.yaml"] = LazySchema(f"{name}.yaml", group, package, schema)
