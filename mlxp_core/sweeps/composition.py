"""Compose the configurations of many jobs at the price of one.

Hydra composes each job of a sweep from nothing: it reads and merges every config file again, which takes about 50 ms a
job for the smallest application. Most jobs of a sweep choose the same config groups and differ only in values, which
Hydra applies last. This loader therefore lets Hydra compose once for each choice of groups, and applies the values to
copies with Hydra's own functions. It leaves a job to Hydra if the result might differ in any detail, errors included.

The loader uses private parts of Hydra and OmegaConf. It therefore lets Hydra compose the first job of a launch as well,
and leaves all jobs to Hydra if the results differ.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from functools import lru_cache
from itertools import compress
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from mlxp_core import console
from mlxp_core.config.effective import as_hydra_config
from mlxp_core.errors import OptionError
from mlxp_core.sweeps.base_config import BaseConfig, BaseConfigs, JobPaths
from mlxp_core.sweeps.config_nodes import node_at

# An override with a number. Jobs have thousands of different ones, and parsing takes longer than everything else; Hydra
# reads these as numbers, too
_NUMBER_OVERRIDE = re.compile(r"([\w.]+)=(-?(?:0|[1-9][0-9]*)((?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?))")
# Maximum number of choices of groups that are kept; each takes 100 kB or more
_MAX_BASES = 256


def install_loader(hydra_context: HydraContext) -> SweepConfigLoader:
    """Replace Hydra's config loader by a `SweepConfigLoader`, and return that.

    The sweeper then also uses it, to validate all jobs before it launches them (`Sweeper.validate_batch_is_legal`).
    """
    loader = SweepConfigLoader(hydra_context.config_loader)
    hydra_context.config_loader = loader
    return loader


class SweepConfigLoader(ConfigLoaderImpl):
    """Hydra's own loader, with a faster way to compose the jobs of a sweep. A copy in another process starts anew."""

    def __init__(self, loader: ConfigLoader) -> None:
        self.__setstate__(vars(loader))

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_parser", "_parse", "_sweeps")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._parser = OverridesParser.create()
        self._parse = lru_cache(maxsize=1024)(self._parse_override)  # a grid repeats the same values
        self._sweeps: dict[tuple[Any, ...], BaseConfigs] = {}
        self._is_compared = False
        self._is_trusted = True

    def load_sweep_config(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """Return the configuration of one job, the same as Hydra's own loader."""
        config = self._compose(master_config, sweep_overrides)
        return super().load_sweep_config(master_config, sweep_overrides) if config is None else config

    def job_paths(self, master_config: DictConfig, sweep_overrides: list[str], job_num: int) -> JobPaths:
        """Return the directories of a job, without composing it again where its values have no influence on them.

        With mlxp_logging this call *makes* the run directory: `hydra.sweep.subdir` is then the interpolation
        `${mlxp_run_number:${hydra.job.num}}`, and its resolver (`LoggingCallback`) makes the directory of the next
        number when it is first resolved for a job. It has to be a resolver, because other launchers only resolve
        `hydra.sweep.subdir`, and a job that has a `hydra.sweep.subdir` of its own must not take a number.

        Raises:
            OptionError: The directories depend on a value that is not known before the job runs.
        """
        if not self._is_compared:
            return self._compared_paths(master_config, sweep_overrides, job_num)
        paths = self._fixed_paths(master_config, sweep_overrides, job_num)
        return paths or _paths(self.load_sweep_config(master_config, sweep_overrides), job_num)

    def _compared_paths(self, master: DictConfig, overrides: list[str], job_num: int) -> JobPaths:
        """Return the directories of a job, and leave all jobs to Hydra if it composes this one differently."""
        by_hydra = super().load_sweep_config(master, overrides)
        ours = self._compose(master, overrides)
        key = None if ours is None else first_difference(_plain(ours), _plain(by_hydra))
        paths = _paths(by_hydra, job_num)
        if ours is not None and key is None:
            # With the same cache, for ${now:}
            fixed = self._fixed_paths(by_hydra, overrides, job_num) or paths
            names = ("hydra.sweep.dir", "hydra.sweep.subdir", "hydra.output_subdir")
            key = next((name for name, one, other in zip(names, fixed, paths, strict=True) if one != other), None)
        if key is not None:
            console.say(
                f"The fast composition of jobs gives another value for '{key}' than Hydra does, so Hydra composes all "
                "jobs of this launch, which takes longer (about 0.1 s for each)."
            )
        self._is_trusted, self._is_compared = key is None, ours is not None
        return paths

    def _fixed_paths(self, master: DictConfig, overrides: list[str], job_num: int) -> JobPaths | None:
        """Return the directories of a job that was composed before, if no value has an influence on them.

        A job that was not composed before may have an override that cannot be applied, which must be an error now.
        """
        sweep = self._sweeps.get(_sweep_key(master)) if self._is_trusted else None
        base = sweep.bases.get(sweep.composed.get(tuple(overrides), ("",))) if sweep else None
        with suppress(Exception):  # raised again, in full, where the whole configuration is composed
            if base is not None and base.has_fixed_paths:
                return base.paths(master, job_num)
        return None

    def _compose(self, master: DictConfig, overrides: list[str]) -> DictConfig | None:
        """Return the configuration of a job, or None to leave the job to Hydra."""
        with suppress(Exception):  # Hydra raises it again, in its own words
            return self._from_base(master, overrides) if self._is_trusted else None
        return None

    def _from_base(self, master: DictConfig, overrides: list[str]) -> DictConfig | None:
        parsed = [self._parse(text) for text in overrides]
        if any(one.is_hydra_override() or one.is_sweep_override() for one in parsed):
            return None
        key = _sweep_key(master)
        if key not in self._sweeps:
            _, repository = self._parse_overrides_and_create_caching_repo(key[0], list(key[1]))
            self._sweeps[key] = BaseConfigs(repository)
        sweep = self._sweeps[key]
        is_group = [sweep.names_group(one) for one in parsed]
        groups = tuple(compress(overrides, is_group))
        if groups not in sweep.bases:
            if len(sweep.bases) >= _MAX_BASES:
                del sweep.bases[next(iter(sweep.bases))]
            sweep.bases[groups] = BaseConfig(super().load_sweep_config(master, list(groups)))
        base = sweep.bases[groups]
        if not base.is_usable:
            return None
        config = base.with_values([one for one, group in zip(parsed, is_group, strict=True) if not group], parsed)
        OmegaConf.copy_cache(from_config=master, to_config=config)
        sweep.composed[tuple(overrides)] = groups
        return config

    def _parse_override(self, text: str) -> Override:
        number = _NUMBER_OVERRIDE.fullmatch(text)
        if number is None or number[2] == "0":
            return self._parser.parse_override(text)
        value = float(number[2]) if number[3] else int(number[2])
        return replace(self._parse(f"{number[1]}=0"), _value=value, input_line=text)


def _sweep_key(master: DictConfig) -> tuple[Any, ...]:
    """Return everything that a composition depends on besides the job's own overrides and the files."""
    hydra = node_at(master, "hydra.overrides.hydra")  # callbacks extend it
    return node_at(master, "hydra.job.config_name")._value(), tuple(one._value() for one in hydra._content), Path.cwd()


def _paths(config: DictConfig, job_num: int) -> JobPaths:
    """Return the directories of a job as its whole configuration gives them.

    Raises:
        OptionError: They depend on a value that is not known before the job runs.
    """
    with open_dict(config):
        config.hydra.job.num = job_num
    with as_hydra_config(config):
        try:
            hydra = config.hydra
            return JobPaths(os.path.abspath(hydra.sweep.dir), str(hydra.sweep.subdir), hydra.output_subdir)
        except (InterpolationToMissingValueError, MissingMandatoryValue) as error:
            raise OptionError(
                "hydra.sweep.dir and hydra.sweep.subdir must be known before the job is submitted, but depend on a "
                f"value that is not known yet ({str(error.msg).splitlines()[0]}). Name runs by hydra.job.num, or "
                "number them with hydra/callbacks=mlxp_logging."
            ) from error


def _plain(config: DictConfig) -> Any:
    return OmegaConf.to_container(config, resolve=False)


def first_difference(ours: Any, theirs: Any, key: str = "") -> str | None:
    """Return the key of the first difference between two plain configurations, None if they are equal."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for name in {**theirs, **ours}:
            below = f"{key}.{name}" if key else str(name)
            if name not in ours or name not in theirs:
                return below
            found = first_difference(ours[name], theirs[name], below)
            if found is not None:
                return found
        return None
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        found_keys = (first_difference(one, other, f"{key}.{index}") for index, (one, other) in pairs)
        return next((found for found in found_keys if found is not None), None)
    # By repr, in which one nan is another. Copies of a user's own objects can only be compared by type
    is_plain = isinstance(ours, (str, int, float, bytes, Enum, os.PathLike, list, dict, type(None)))
    is_same = type(ours) is type(theirs) and (not is_plain or repr(ours) == repr(theirs))
    return None if is_same else key
