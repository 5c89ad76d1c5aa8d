"""The configuration of a sweep's jobs before their values are applied, and what can be known from it."""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple, cast

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, flag_override

from mlxp_core.config.effective import as_hydra_config
from mlxp_core.sweeps.config_nodes import (
    copy_config,
    copy_node,
    interpolation_of,
    is_fixed,
    node_at,
    set_number,
    value_of,
)

# Hydra 1.3 writes the jobs' override_dirname into the configuration; in 1.4 it is an interpolation
_dirname = getattr(config_loader_impl, "get_overrides_dirname", None)
_NOW_ONLY = re.compile(r"([^$]|\$\{now:[^${}]*\})*")


class JobPaths(NamedTuple):
    """The directories in which Hydra's own launcher would run a job.

    Attributes:
        sweep_dir: Absolute path of the sweep's directory.
        subdir: Directory of the job in it.
        output_subdir: Value of `hydra.output_subdir`.
    """

    sweep_dir: str
    subdir: str
    output_subdir: str | None


class BaseConfigs:
    """What the jobs of one sweep share.

    Attributes:
        bases: Base configurations, by the overrides that choose their groups.
        composed: The choice of groups of each job that was composed from a base.
    """

    def __init__(self, repository: IConfigRepository) -> None:
        self._repository = repository
        self._is_group: dict[str, bool] = {}
        self.bases: dict[tuple[str, ...], BaseConfig] = {}
        self.composed: dict[tuple[str, ...], tuple[str, ...]] = {}

    def names_group(self, override: Override) -> bool:
        """Return whether an override chooses a config of a group, and so has an influence on which files are read."""
        key = override.key_or_group
        if key not in self._is_group:
            self._is_group[key] = self._repository.group_exists(key)
        return self._is_group[key] and not isinstance(override.value(), dict)


class BaseConfig:
    """The configuration of a job for one choice of groups, without other overrides.

    Attributes:
        is_usable: Whether Hydra, after applying the values, does nothing that depends on them except recording them.
        has_fixed_paths: Whether no value has an influence on the directories of jobs.
    """

    def __init__(self, config: DictConfig) -> None:
        self._config, self._numbered = config, copy_config(config)
        job = cast(dict[str, Any], OmegaConf.to_container(config.hydra.job, resolve=False))
        self.is_usable = "${" not in str([job.get(name) for name in ("name", "env_copy", "config")])
        self._dirname_options = job["config"]["override_dirname"]
        config.hydra.overrides.task.append("")  # each copy gets a list of its own, of nodes like this one
        self._line = node_at(config, "hydra.overrides.task")._content[-1]
        self._number = node_at(self._numbered, "hydra.job.num")
        self._number._set_value(0)
        nodes = [node_at(self._numbered, f"hydra.{key}") for key in ("sweep.dir", "sweep.subdir", "output_subdir")]
        self.has_fixed_paths = all(is_fixed(node, self._numbered) for node in nodes)
        self._trees = [(node, interpolation_of(node)) for node in nodes] if self.has_fixed_paths else []
        self._has_one_dir = self.has_fixed_paths and _NOW_ONLY.fullmatch(nodes[0]._value()) is not None
        self._cache: dict[str, Any] = {}
        self._sweep_dir = ""

    def with_values(self, values: list[Override], recorded: list[Override]) -> DictConfig:
        """Return the configuration of a job.

        Args:
            values: Overrides to apply.
            recorded: All overrides of the job, for `hydra.overrides.task`.
        """
        config = copy_config(self._config)
        # A value that reaches the hydra node through an interpolation is an error here, and so left to Hydra
        with flag_override(node_at(config, "hydra"), "readonly", True):
            for one in values:
                if not set_number(config, one):
                    ConfigLoaderImpl._apply_overrides_to_config([one], config)
        task = node_at(config, "hydra.overrides.task")
        task._content[:] = [copy_node(self._line, task) for _ in recorded]
        for position, one in enumerate(recorded):
            task._content[position]._set_key(position)
            task._content[position]._set_value(one.input_line)
        if _dirname is not None:
            node_at(config, "hydra.job.override_dirname")._set_value(_dirname(recorded, **self._dirname_options))
        return config

    def paths(self, master: DictConfig, number: int) -> JobPaths:
        """Return the directories of the job of a number."""
        cache = OmegaConf.get_cache(master)  # it holds the sweep's ${now:}; entries are never replaced
        is_new = cache is not self._cache or _size(cache) != _size(OmegaConf.get_cache(self._numbered))
        if is_new:
            OmegaConf.copy_cache(from_config=master, to_config=self._numbered)
            self._cache = cache
        self._number._set_value(number)
        with as_hydra_config(self._numbered):
            if is_new or not self._has_one_dir:
                self._sweep_dir = os.path.abspath(value_of(*self._trees[0], number))
            subdir, output_subdir = (value_of(*path, number) for path in self._trees[1:])
            return JobPaths(self._sweep_dir, str(subdir), output_subdir)


def _size(cache: dict[str, Any]) -> int:
    return sum(map(len, cache.values()))
