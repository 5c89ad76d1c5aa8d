"""The configurations of many jobs at the price of one.

Hydra composes each job of a sweep from nothing: it reads and merges every config file again, about 50 ms a job for the
smallest application. Jobs of one sweep mostly choose the same config groups and differ in values, which Hydra applies
last. So this loader lets Hydra compose once for each choice of groups, and applies the values to copies, by Hydra's own
functions. What it does not know to be the same in every detail it leaves to Hydra, errors included.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple, cast

from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import IConfigRepository
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf, flag_override, open_dict
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from mlxp_core.errors import OptionError
from mlxp_core.sweeps.config_nodes import (
    copy_config,
    copy_node,
    interpolation_of,
    is_resolved,
    node_at,
    set_number,
    value_of,
)

# Hydra 1.3 puts the jobs' override_dirname into the configuration; in 1.4 it is an interpolation
_dirname = getattr(config_loader_impl, "get_overrides_dirname", None)
# Jobs have thousands of different numbers, and parsing takes longer than the rest; Hydra takes this for one, too
_BY_NUMBER = re.compile(r"([\w.]+)=(-?(?:0|[1-9][0-9]*)((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?))")
_ONLY_NOW = re.compile(r"([^$]|\$\{now:[^${}]*\})*")
# Choices of groups that are kept, each in 100 kB or more
_MOST_BASES = 256


class JobPaths(NamedTuple):
    """Where Hydra's own launcher would run a job: `sweep_dir` is absolute."""

    sweep_dir: str
    subdir: str
    output_subdir: str | None


class SweepConfigLoader(ConfigLoaderImpl):
    """Hydra's own loader, and a shorter way for the jobs of a sweep. In another process it starts anew."""

    def __init__(self, loader: ConfigLoader) -> None:
        self.__setstate__(vars(loader))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_parser", "_parse", "_sweeps")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._parser = OverridesParser.create()
        self._parse = lru_cache(maxsize=1024)(self._parse_override)  # the values of a grid come again and again
        self._sweeps: dict[tuple[Any, ...], _Sweep] = {}

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The configuration of one job, the same as Hydra's own loader makes."""
        try:
            config = self._from_base(master_config, sweep_overrides)
        except Exception:  # whatever it is, Hydra says it in its own words
            config = None
        return super().load_sweep_config(master_config, sweep_overrides) if config is None else config

    def job_paths(self, master_config: DictConfig, sweep_overrides: list[str], job_num: int) -> JobPaths:
        """The directories of a job, without its configuration where they do not depend on what is in it.

        Raises:
            OptionError: they depend on what is not known before the job runs.
        """
        sweep = self._sweeps.get(_sweep_key(master_config))
        # Of a job that was composed before: an override that cannot be applied is an error now, not when the job runs
        base = sweep.bases.get(sweep.composed.get(tuple(sweep_overrides), ("",))) if sweep else None
        if base is not None and base.settles_paths:
            with suppress(OmegaConfBaseException):  # the long way says it in full
                return base.paths(master_config, job_num)
        config = self.load_sweep_config(master_config, sweep_overrides)
        with open_dict(config):
            config.hydra.job.num = job_num
        with _as_hydra_config(config):
            try:
                hydra = config.hydra
                return JobPaths(os.path.abspath(hydra.sweep.dir), str(hydra.sweep.subdir), hydra.output_subdir)
            except (InterpolationToMissingValueError, MissingMandatoryValue) as error:
                raise OptionError(
                    "hydra.sweep.dir and hydra.sweep.subdir must be known before the job is submitted, but use a value "
                    f"that is not ({str(error.msg).splitlines()[0]}): name runs by hydra.job.num, or number them with "
                    "hydra/callbacks=mlxp_logging."
                ) from error

    def _from_base(self, master: DictConfig, overrides: list[str]) -> DictConfig | None:
        parsed = [self._parse(text) for text in overrides]
        if any(one.is_hydra_override() or one.is_sweep_override() for one in parsed):
            return None
        key = _sweep_key(master)
        if key not in self._sweeps:
            _, repository = self._parse_overrides_and_create_caching_repo(key[0], list(key[1]))
            self._sweeps[key] = _Sweep(repository)
        sweep = self._sweeps[key]
        is_group = [sweep.names_group(one) for one in parsed]
        groups = tuple(compress(overrides, is_group))
        if groups not in sweep.bases:
            if len(sweep.bases) >= _MOST_BASES:
                del sweep.bases[next(iter(sweep.bases))]
            sweep.bases[groups] = _Base(super().load_sweep_config(master, list(groups)))
        base = sweep.bases[groups]
        if not base.is_usable:
            return None
        config = base.with_values([one for one, group in zip(parsed, is_group, strict=True) if not group], parsed)
        OmegaConf.copy_cache(from_config=master, to_config=config)
        sweep.composed[tuple(overrides)] = groups
        return config

    def _parse_override(self, text: str) -> Override:
        number = _BY_NUMBER.fullmatch(text)
        if number is None or number[2] == "0":
            return self._parser.parse_override(text)
        value = float(number[2]) if number[3] else int(number[2])
        return replace(self._parse(f"{number[1]}=0"), _value=value, input_line=text)


def _sweep_key(master: DictConfig) -> tuple[Any, ...]:
    """All that a composition depends on besides the job's own overrides and the files."""
    hydra = node_at(master, "hydra.overrides.hydra")  # callbacks extend it
    return node_at(master, "hydra.job.config_name")._value(), tuple(one._value() for one in hydra._content), Path.cwd()


class _Sweep:
    """What the jobs of one sweep share.

    Attributes:
        bases: by choice of groups, the overrides that make it.
        composed: the choice of groups of each job that a base could make.
    """

    def __init__(self, repository: IConfigRepository) -> None:
        self._repository = repository
        self._is_group: dict[str, bool] = {}
        self.bases: dict[tuple[str, ...], _Base] = {}
        self.composed: dict[tuple[str, ...], tuple[str, ...]] = {}

    def names_group(self, override: Override) -> bool:
        """Whether an override chooses a config of a group; it has a say in which files are read."""
        key = override.key_or_group
        if key not in self._is_group:
            self._is_group[key] = self._repository.group_exists(key)
        return self._is_group[key] and not isinstance(override.value(), dict)


class _Base:
    """The configuration of a job for one choice of groups, with no other override.

    Attributes:
        is_usable: whether Hydra does nothing by the values after it applied them, besides writing them down.
        settles_paths: whether the directories of jobs depend on no value.
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
        self.settles_paths = all(is_resolved(node, self._numbered) for node in nodes)
        self._trees = [(node, interpolation_of(node)) for node in nodes] if self.settles_paths else []
        self._has_one_dir = self.settles_paths and _ONLY_NOW.fullmatch(nodes[0]._value()) is not None
        self._cache: dict[str, Any] = {}
        self._sweep_dir = ""

    def with_values(self, values: list[Override], written: list[Override]) -> DictConfig:
        """The configuration of a job: `values` applied, all its overrides written down."""
        config = copy_config(self._config)
        # Should a value reach the hydra node through an interpolation, that is an error here, and Hydra's to do
        with flag_override(node_at(config, "hydra"), "readonly", True):
            for one in values:
                if not set_number(config, one):
                    ConfigLoaderImpl._apply_overrides_to_config([one], config)
        task = node_at(config, "hydra.overrides.task")
        task._content[:] = [copy_node(self._line, task) for _ in written]
        for position, one in enumerate(written):
            task._content[position]._set_key(position)
            task._content[position]._set_value(one.input_line)
        if _dirname is not None:
            node_at(config, "hydra.job.override_dirname")._set_value(_dirname(written, **self._dirname_options))
        return config

    def paths(self, master: DictConfig, number: int) -> JobPaths:
        """The directories of one job."""
        cache = OmegaConf.get_cache(master)  # it holds the sweep's ${now:}; what is in it is never replaced
        is_new = cache is not self._cache or _size(cache) != _size(OmegaConf.get_cache(self._numbered))
        if is_new:
            OmegaConf.copy_cache(from_config=master, to_config=self._numbered)
            self._cache = cache
        self._number._set_value(number)
        with _as_hydra_config(self._numbered):
            if is_new or not self._has_one_dir:
                self._sweep_dir = os.path.abspath(value_of(*self._trees[0], number))
            subdir, output_subdir = (value_of(*path, number) for path in self._trees[1:])
            return JobPaths(self._sweep_dir, str(subdir), output_subdir)


@contextmanager
def _as_hydra_config(config: DictConfig) -> Iterator[None]:
    """For ${hydra:...}. HydraConfig's own set_config would copy the configuration, in 5 ms."""
    before = HydraConfig.instance().cfg
    HydraConfig.instance().cfg = cast(Any, config)
    try:
        yield
    finally:
        HydraConfig.instance().cfg = before


def _size(cache: dict[str, Any]) -> int:
    return sum(map(len, cache.values()))
