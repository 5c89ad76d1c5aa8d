"""The values in overrides, read without Hydra, for runs whose configuration is not composed yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlxp_core.results.conditions import read_word


def values_of(overrides: Iterable[str]) -> dict[str, Any]:
    """Return the values in overrides such as `optimizer.lr=0.1`, by dotted key."""
    values = {}
    for override in overrides:
        key, is_value, value = override.lstrip("+").partition("=")
        if is_value and not key.startswith("~"):
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            values[key.partition("@")[0]] = value[1:-1] if quoted else read_word(value)
    return values
