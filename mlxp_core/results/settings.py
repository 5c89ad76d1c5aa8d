"""The settings of runs side by side: which keys of their configurations vary, and which runs have the same ones."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from mlxp_core.results.conditions import ABSENT
from mlxp_core.results.override_values import values_of
from mlxp_core.results.rows import Row
from mlxp_core.runs.fast_yaml import load_yaml
from mlxp_core.runs.file_cache import FileCache


@dataclass(frozen=True)
class Settings:
    """The settings of some runs.

    Attributes:
        values: For each run, its settings by dotted key. The key of a config group stands for its choice; lists are
            JSON.
        varying: Keys whose values differ between the runs. A key below a config group counts if it differs between
            runs of the same choice.
    """

    values: Sequence[Mapping[str, Any]]
    varying: Sequence[str]

    def identity(self, place: int) -> tuple[Any, ...]:
        """Return a value that is the same for runs of the same configuration."""
        return tuple(map(self.values[place].get, self.varying))


def read_settings(rows: Sequence[Row], cache: FileCache) -> Settings:
    """Read the settings of runs, and compare them.

    Args:
        rows: The runs.
        cache: Cache of their configurations.
    """
    overrides = [values_of(row.run.overrides) for row in rows]
    configs = [_read_config(row, cache) for row in rows]
    # Before a run starts, only its overrides are known
    places = [{key: value for key, value in one.items() if "/" not in key and "@" not in key} for one in overrides]
    flat = [_flatten(known) if found is None else found for known, found in zip(places, configs, strict=True)]
    groups = _config_groups(flat, overrides)
    if groups:
        triples = zip(rows, overrides, flat, strict=True)
        flat = [_with_choices(row, known, one, groups) for row, known, one in triples]
    started = [one for one, found in zip(flat, configs, strict=True) if found is not None] or flat
    varying = [key for key in _varying(flat, started) if not _follows(key, groups, started)]
    if len(started) < len(flat):
        common = {key: value for key, value in started[0].items() if key not in varying}
        pairs = zip(flat, configs, strict=True)
        flat = [
            _completed({**common, **one}, varying, groups, started) if found is None else one for one, found in pairs
        ]
    return Settings(flat, varying)


def scalar(value: Any) -> Any:
    """Return a value as it is compared: lists and mappings as JSON, NaN as a word, dates as strings."""
    if isinstance(value, (str, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if value == value else "nan"
    return json.dumps(value, default=str, ensure_ascii=False) if isinstance(value, (dict, list)) else str(value)


def _read_config(row: Row, cache: FileCache) -> dict[str, Any] | None:
    """Return the configuration of a run by dotted key; None if it is not composed yet."""
    subdir = row.run.output_subdir
    directory = f"{row.run.path}/{subdir}" if subdir else row.run.path
    try:
        found: dict[str, Any] = cache.read(f"{directory}/config.yaml", _parse)
    except (OSError, yaml.YAMLError, ValueError):
        return None
    return found


def _parse(data: bytes) -> dict[str, Any]:
    config = load_yaml(data)
    if not isinstance(config, dict):
        raise ValueError("a configuration is a mapping")
    return _flatten(config)


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            flat.update(_flatten(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = scalar(value)
    return flat


def _config_groups(flat: Sequence[Mapping[str, Any]], overrides: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys of the config groups whose choice is an override of some run."""
    keys = dict.fromkeys(key for one in overrides for key in one)

    def is_group(key: str, one: Mapping[str, Any]) -> bool:
        return one.get(key, "{}") == "{}" and any(name == key or name.startswith(f"{key}.") for name in one)

    return [key for key in keys if any(is_group(key, one) for one in flat)]


def _with_choices(
    row: Row, overrides: Mapping[str, Any], flat: Mapping[str, Any], groups: Sequence[str]
) -> dict[str, Any]:
    """Return settings with the choices of config groups, which come first."""
    choices: dict[str, Any] = {}
    for group in groups:
        # Only without an override Hydra's own record says what was chosen
        choice = overrides[group] if group in overrides else row.find(group)
        if choice is not ABSENT:
            choices[group] = scalar(choice)
    return {**choices, **flat, **choices}


def _varying(values: Sequence[Mapping[str, Any]], started: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the keys that differ, or that only some of the started runs have, in the order of the configuration."""
    if not started:
        return []
    first = started[0]
    found: set[str] = set()
    order = dict.fromkeys(first)
    for one in values:
        different = {key for key, _ in one.items() - first.items()}
        if not different <= order.keys():
            order.update(dict.fromkeys(one))
        found |= different
    for one in started:
        if len(one) != len(first) or one.keys() != first.keys():
            found |= first.keys() - one.keys()
    return [key for key in order if key in found]


def _follows(key: str, groups: Sequence[str], values: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether a key below a config group has one value for each choice of the group."""
    for group in groups:
        if key.startswith(f"{group}."):
            by_choice: dict[Any, Any] = {}
            return all(by_choice.setdefault(one.get(group), one.get(key)) == one.get(key) for one in values)
    return False


def _completed(
    known: Mapping[str, Any],
    varying: Sequence[str],
    groups: Sequence[str],
    started: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """Return the settings of a run that has not started, with those that all runs of the same choices have."""
    full = dict(known)
    alike = [one for one in started if all(one.get(group) == full.get(group) for group in groups)]
    for key in varying:
        if key not in full and len({one.get(key) for one in alike}) == 1:
            full[key] = alike[0].get(key)
    return full
