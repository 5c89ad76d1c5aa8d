"""YAML by libyaml, which is several times faster than PyYAML's own reader and writer, where PyYAML has it."""

from __future__ import annotations

from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def load(text: bytes | str) -> Any:
    """Return the value of a YAML document.

    Raises:
        yaml.YAMLError: The text is not valid YAML.
        ValueError: A value is not valid, such as a date or a byte that is not UTF-8.
    """
    return yaml.load(text, _LOADER)


def dump(value: Any) -> str:
    """Return a value as YAML, with the keys of mappings in their order."""
    return yaml.dump(value, Dumper=_DUMPER, sort_keys=False, allow_unicode=True)
