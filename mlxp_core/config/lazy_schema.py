"""Schemas that are created when Hydra reads them.

OmegaConf needs 10 ms to create one of our schemas from its dataclass. The ConfigStore is filled in every Hydra program
on the machine, and would create all of them.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import DictConfig, OmegaConf

_PROVIDER = "hydra-mlxp"


@cache  # a composition reads a schema several times, and copies it
def _make(schema: str) -> DictConfig:
    node: DictConfig = OmegaConf.structured(getattr(import_module("mlxp_core.config.schemas"), schema))
    return node


class LazySchema(ConfigNode):
    """A node of the ConfigStore, created from a dataclass in mlxp_core.config.schemas that is given by name."""

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
    """Store a schema as ConfigStore.store does, without creating it."""
    # ConfigStore.store creates the node, and then does this
    place = ConfigStore.instance().repo
    for part in group.split("/"):
        place = place.setdefault(part, {})
    place[f"{name}.yaml"] = LazySchema(f"{name}.yaml", group, package, schema)
