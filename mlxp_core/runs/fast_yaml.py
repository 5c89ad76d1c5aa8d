"""Reading YAML fast: what `yaml.dump` writes in block style needs no parser of all of YAML.

Ten thousand records take libyaml's loader several seconds. Here each line that is not certain to mean one thing sends
the whole text to that loader, so that the result is always its own.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import yaml

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LINE = re.compile(r"( *)(?:([A-Za-z_][A-Za-z0-9_./-]{,99}):(?: (.+))?|- (.+))")
# A word that no rule of YAML 1.1 takes for anything but text, maybe with others behind it
_TEXT = re.compile(r"[A-Za-z/_][A-Za-z0-9_/.+=,()@-]*(?: +[A-Za-z0-9_/.+=,()@-]+)*|[1-9][0-9a-f]*[a-f][0-9a-f]*")
_QUOTED = re.compile(r"'([ -&(-~]*)'")
_INT = re.compile(r"0|-?[1-9][0-9]*")
_FLOAT = re.compile(r"-?[0-9]+\.[0-9]+(?:e[+-][0-9]+)?")
# Stand for a value that comes in the next lines, and for new lists and mappings
_NOTHING = object()
_EMPTY_LIST: list[Any] = []
_EMPTY_MAPPING: dict[str, Any] = {}
_CONTAINERS = {type(_NOTHING), list, dict}
_WORDS = {"null": None, "true": True, "false": False, "[]": _EMPTY_LIST, "{}": _EMPTY_MAPPING}
# As text in any other letters than these, too, each of them needs quotes or is something else
_NO_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


class _OtherYaml(Exception):
    """A text has more in it than is read here."""


def load_yaml(data: bytes) -> Any:
    """What `yaml.load(data, yaml.CSafeLoader)` returns; parts of it are not to be changed, as other results share them.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    try:
        return _load(data.decode("ascii"))
    except (_OtherYaml, UnicodeDecodeError):
        return yaml.load(data, _LOADER)


def _load(text: str) -> dict[str, Any]:
    if not text.endswith("\n"):  # it may be cut off
        raise _OtherYaml
    # Each key of the first level, with the lines that belong to it
    parts: list[str] = []
    for line in text[:-1].split("\n"):
        if line[:1] not in (" ", "-"):
            parts.append(line)
        elif parts:
            parts[-1] += f"\n{line}"
        else:
            raise _OtherYaml
    return dict(map(_read_part, parts))


@lru_cache(maxsize=100_000)  # records of runs have most of their parts in common
def _read_part(text: str) -> tuple[str, Any]:
    if "\n" not in text:
        depth, only, simple = _read_line(text)
        if depth == 0 and only is not None and type(simple) not in _CONTAINERS:
            return only, simple
    ((key, value),) = _read_block(text).items()
    return key, value


def _read_block(text: str) -> dict[str, Any]:
    root: dict[str, Any] = {}
    levels: list[tuple[int, dict[str, Any]]] = [(0, root)]
    open_key: str | None = None  # a key that has had no value yet
    items: list[Any] | None = None
    items_indent = 0
    for line in text.split("\n"):
        depth, key, value = _read_known_line(line)
        if value is _EMPTY_LIST or value is _EMPTY_MAPPING:
            value = value.copy()
        if key is None:
            if open_key is not None and depth >= levels[-1][0]:
                items, items_indent = [], depth
                levels[-1][1][open_key] = items
                open_key = None
            if items is None or depth != items_indent:
                raise _OtherYaml
            items.append(value)
            continue
        items = None
        if open_key is not None and depth > levels[-1][0]:
            inner: dict[str, Any] = {}
            levels[-1][1][open_key] = inner
            levels.append((depth, inner))
        while depth < levels[-1][0]:
            levels.pop()
        if depth != levels[-1][0]:
            raise _OtherYaml
        open_key = key if value is _NOTHING else None
        levels[-1][1][key] = None if value is _NOTHING else value
    return root


def _read_line(line: str) -> tuple[int, str | None, Any]:
    """The indentation of a line, its key (None for an item of a list), and its value."""
    match = _LINE.fullmatch(line)
    if match is None:
        raise _OtherYaml
    blanks, key, value, item = match.groups()
    if key is None:
        return len(blanks), None, _scalar(item)
    if key.lower() in _NO_TEXT:
        raise _OtherYaml
    return len(blanks), key, _scalar(value) if value else _NOTHING


_read_known_line = lru_cache(maxsize=20_000)(_read_line)


def _scalar(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if text[0] == "'":
        if match := _QUOTED.fullmatch(text):
            return match[1]
    elif _INT.fullmatch(text):
        return int(text)
    elif _FLOAT.fullmatch(text):
        return float(text)
    elif _TEXT.fullmatch(text) and text.lower() not in _NO_TEXT:
        return text
    raise _OtherYaml
