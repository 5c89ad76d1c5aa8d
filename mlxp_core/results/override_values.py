"""The values in overrides, read without Hydra, for runs whose configuration is not composed yet."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from mlxp_core.results.choices import names_of
from mlxp_core.results.conditions import read_word

_DELETED = "(deleted)"


def values_of(overrides: Iterable[str]) -> dict[str, Any]:
    """Return the values in overrides such as `optimizer.lr=0.1`, by dotted key; a config group has all its names."""
    values = {}
    for override in overrides:
        key, is_value, text = override.lstrip("+").partition("=")
        if is_value and not key.startswith("~"):
            plain = _unquoted(text)
            value = read_word(text) if plain == text else plain
            values.update(dict.fromkeys(names_of(key), value))
    return values


def texts_of(overrides: Iterable[str]) -> dict[str, str]:
    """Return the values in overrides as they were written, without quotes, by key."""
    texts = {}
    for override in overrides:
        key, _, text = override.lstrip("+").partition("=")
        texts[key.lstrip("~")] = _DELETED if key.startswith("~") else _unquoted(text)
    return texts


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" else text
