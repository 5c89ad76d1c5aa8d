"""Reading YAML fast: records of runs have most of their parts in common, which need to be parsed only once.

libyaml's loader takes several seconds for ten thousand records. Here a mapping is split at its keys, and each part is
read once. A text that may mean something else as a whole than in parts is read by libyaml, so that the result is always
libyaml's.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import yaml

from mlxp_core import yaml_files

_KEY = re.compile(r"([A-Za-z_][A-Za-z0-9_./-]{,99}):(?: ([^\n]+)|\n|$)")
# A word that no rule of YAML 1.1 reads as anything but a string, optionally followed by others
_STRING = re.compile(r"[A-Za-z/_][A-Za-z0-9_/.+=,()@-]*(?: +[A-Za-z0-9_/.+=,()@-]+)*|[0-9]{6,}-[0-9]+")
_QUOTED = re.compile(r"'([ -&(-~]*)'")
_INT = re.compile(r"0|-?[1-9][0-9]*")
_WORDS = {"null": None, "true": True, "false": False}
# Words that are not strings, in any mixture of upper and lower case
_NOT_STRINGS = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


class _Uncertain(Exception):
    """A text may mean something else as a whole than in parts."""


def load_yaml(data: bytes) -> Any:
    """Return what `yaml_files.load` returns and raise what it raises; callers do not modify the value.

    Results share parts with each other.
    """
    try:
        return _load_parts(data.decode("ascii"))
    except (_Uncertain, ValueError, yaml.YAMLError):
        return yaml_files.load(data)


def _load_parts(text: str) -> dict[str, Any]:
    # Each key with the lines below it, which yaml.dump indents or begins with a dash
    parts: list[str] = []
    for line in text.removesuffix("\n").split("\n"):
        if line[:1] not in (" ", "-"):
            parts.append(line)
        elif parts:
            parts[-1] += f"\n{line}"
        else:
            raise _Uncertain
    return dict(map(_load_part, parts))


def _load_mappings(lines: list[str]) -> list[dict[str, Any]]:
    items: list[str] = []
    for line in lines:
        if line.startswith("- "):
            items.append(line[2:])
        elif line.startswith("  "):
            items[-1] += f"\n{line[2:]}"
        else:
            raise _Uncertain
    return [_load_parts(item) for item in items]


@lru_cache(maxsize=100_000)
def _load_part(text: str) -> tuple[str, Any]:
    match = _KEY.match(text)
    if match is None or match[1].lower() in _NOT_STRINGS:
        raise _Uncertain
    key, value = match.groups()
    if value and match.end() == len(text):
        if value in _WORDS:
            return key, _WORDS[value]
        if _INT.fullmatch(value):
            return key, int(value)
        if quoted := _QUOTED.fullmatch(value):
            return key, quoted[1]
        if _STRING.fullmatch(value) and value.lower() not in _NOT_STRINGS:
            return key, value
    lines = text.split("\n")[1:]
    if lines and not value and all(line.startswith("  ") for line in lines):
        return key, _load_parts("\n".join(line[2:] for line in lines))
    if lines and not value and lines[0].startswith("- ") and _KEY.match(lines[0][2:]):
        return key, _load_mappings(lines)
    loaded = yaml_files.load(text)
    if not isinstance(loaded, dict) or list(loaded) != [key]:
        raise _Uncertain
    return key, loaded[key]
