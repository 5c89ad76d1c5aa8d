"""The choices of config groups with which a run was composed, from Hydra's own record of the run (hydra.yaml)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from textwrap import dedent
from typing import Any

from mlxp_core.runs.fast_yaml import load_yaml

# As Hydra writes it: reading all of hydra.yaml takes fifty times as long
_CHOICES = re.compile(rb"\n  runtime:\n(?:    .*\n)*?    choices:\n((?:      .*(?:\n|$))+)")


def read_choices(data: bytes) -> dict[str, Any]:
    """Return the choice of each config group, by all names of the group.

    Args:
        data: Content of hydra.yaml.

    Raises:
        ValueError: The file is damaged.
        yaml.YAMLError: The file is damaged.
    """
    found = _CHOICES.search(data)
    if found:
        choices = load_yaml(dedent(found[1].decode()).encode())
    else:
        choices = load_yaml(data)
        for key in ("hydra", "runtime", "choices"):
            choices = choices.get(key) if isinstance(choices, Mapping) else None
    if not isinstance(choices, Mapping):
        raise ValueError("there are no choices of config groups")
    by_name: dict[str, list[Any]] = {}
    for group, choice in choices.items():
        for name in dict.fromkeys(names_of(str(group))):
            by_name.setdefault(name, []).append(choice)
    # A short name may stand for several groups
    return {name: values[0] for name, values in by_name.items() if len(values) == 1 or name in choices}


def names_of(group: str) -> tuple[str, str, str]:
    """Return the names of a config group: as Hydra writes it, its place in the configuration, without its package.

    For `optimizer@train.optimizer` these are itself, `train.optimizer` and `optimizer`; for `model/head`, `model.head`.
    """
    path, _, package = group.partition("@")
    return group, package or path.replace("/", "."), path


def may_be_group(key: str) -> bool:
    """Return whether a key that is not in a configuration may name a config group: those of metrics have dots."""
    return "." not in key or "/" in key or "@" in key
