"""Conditions on the keys of a run's configuration: `optimizer.lr>=0.01 and model.name==deep`; nothing is evaluated."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mlxp_core.errors import ConditionError

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
_KEY = re.compile(r"\s*([A-Za-z_][\w./@-]*)")
_OPERATOR = re.compile(r"\s*(==|!=|<=|>=|<|>|=)")
_VALUE = re.compile(r"""\s*(?:'([^']*)'|"([^"]*)"|([^\s'"<>=!]+))""")
_AND = re.compile(r"\s+and\s+|\s*$")
# Stands for the value of a key that is not there
ABSENT = object()
_WORDS = {"true": True, "false": False, "null": None, "none": None}


@dataclass(frozen=True)
class Comparison:
    """One of them: a key, one of the operators, and a plain value."""

    key: str
    operator: str
    value: Any

    def holds(self, find: Callable[[str], Any]) -> bool:
        """Whether it holds; what cannot be compared is no match."""
        found = find(self.key)
        if found is ABSENT:
            return False
        try:
            return bool(_OPERATORS[self.operator](*_alike(found, self.value)))
        except TypeError:
            return False


@dataclass(frozen=True)
class Condition:
    """Comparisons that must all hold."""

    comparisons: tuple[Comparison, ...]

    def holds(self, find: Callable[[str], Any]) -> bool:
        """Whether it holds; `find` gives the value of a key, and for one that is not there `ABSENT`, which fails it."""
        return all(comparison.holds(find) for comparison in self.comparisons)


def parse_condition(text: str) -> Condition:
    """Read a condition.

    Raises:
        ConditionError: it cannot be read; the message points at the place.
    """
    comparisons = []
    place = 0
    while True:
        key = _take(_KEY, text, place, "the key of a configuration is missing here, such as optimizer.lr")
        sign = _take(_OPERATOR, text, key.end(), "one of == != < <= > >= is missing here")
        value = _take(_VALUE, text, sign.end(), "a value is missing here: a number, a word, or a text in quotes")
        quoted = value[1] if value[1] is not None else value[2]
        comparisons.append(Comparison(key[1], sign[1], read_word(value[3]) if quoted is None else quoted))
        end = _take(_AND, text, value.end(), "'and' is missing here, or a text with blanks needs quotes")
        if end.end() == len(text) and not end[0].strip():
            return Condition(tuple(comparisons))
        place = end.end()


def _take(pattern: re.Pattern[str], text: str, place: int, missing: str) -> re.Match[str]:
    match = pattern.match(text, place)
    if match is None:
        place += len(text[place:]) - len(text[place:].lstrip())
        raise ConditionError(f"--where cannot be read: {missing}:\n  {text}\n  {' ' * place}^")
    return match


def read_word(word: str) -> Any:
    """A word as the number, truth value or null that it is, or else as itself."""
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def look_up(values: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; `ABSENT` when there is none."""
    if key in values:
        return values[key]
    found: Any = values
    for part in key.split("."):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list) and part.isdecimal() and int(part) < len(found):
            found = found[int(part)]
        else:
            return ABSENT
    return found


def _alike(found: Any, value: Any) -> tuple[Any, Any]:
    """Both sides in a form in which they can be compared: a text that is to equal a number is read as one."""
    if isinstance(found, str) and not isinstance(value, str):
        return read_word(found), value
    if isinstance(value, str) and found is not None and not isinstance(found, str):
        return (str(found), value) if not isinstance(found, (dict, list)) else (found, value)
    return found, value
