"""Conditions on the configuration of runs, such as `optimizer.lr>=0.01 and model.name==deep`; no code is evaluated."""

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
# The value of a missing key
ABSENT = object()
_WORDS = {"true": True, "false": False, "null": None, "none": None}


@dataclass(frozen=True)
class Comparison:
    """A comparison of a key's value with a number, a string, a truth value or None."""

    key: str
    operator: str
    value: Any

    def holds(self, find: Callable[[str], Any]) -> bool:
        """Return whether the comparison holds; values that cannot be compared do not match.

        Args:
            find: Function that returns the value of a key, or `ABSENT` for a missing key, which does not match.
        """
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
        """Return whether all comparisons hold; `find` is as for `Comparison.holds`."""
        return all(comparison.holds(find) for comparison in self.comparisons)


def parse_condition(text: str) -> Condition:
    """Parse a condition.

    Raises:
        ConditionError: The condition cannot be parsed; the message points at the position.
    """
    comparisons = []
    position = 0
    while True:
        key = _match(_KEY, text, position, "expected a configuration key, such as optimizer.lr")
        sign = _match(_OPERATOR, text, key.end(), "expected one of == != < <= > >=")
        value = _match(_VALUE, text, sign.end(), "expected a value: a number, a word, or a string in quotes")
        quoted = value[1] if value[1] is not None else value[2]
        comparisons.append(Comparison(key[1], sign[1], read_word(value[3]) if quoted is None else quoted))
        end = _match(_AND, text, value.end(), "expected 'and'; a string with spaces needs quotes")
        if end.end() == len(text) and not end[0].strip():
            return Condition(tuple(comparisons))
        position = end.end()


def _match(pattern: re.Pattern[str], text: str, position: int, expected: str) -> re.Match[str]:
    match = pattern.match(text, position)
    if match is None:
        position += len(text[position:]) - len(text[position:].lstrip())
        raise ConditionError(f"--where: {expected}:\n  {text}\n  {' ' * position}^")
    return match


def read_word(word: str) -> Any:
    """Convert a word to a number, a truth value or None, if it is one; otherwise return it."""
    if word.lower() in _WORDS:
        return _WORDS[word.lower()]
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def look_up(values: Mapping[str, Any], key: str) -> Any:
    """Return the value of a dotted key; `ABSENT` if there is none."""
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
    """Convert both sides so that they can be compared: a string that is compared with a number is read as one."""
    if isinstance(found, str) and not isinstance(value, str):
        return read_word(found), value
    if isinstance(value, str) and found is not None and not isinstance(found, str):
        return (str(found), value) if not isinstance(found, (dict, list)) else (found, value)
    return found, value
