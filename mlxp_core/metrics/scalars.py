"""What a line of metrics may contain: strings as keys, scalars as values."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

Scalar = bool | int | float | str | None

_SCALARS = (bool, int, float, str, type(None))
SCALAR_TYPES = frozenset(_SCALARS)


def split_scalars(values: Mapping[Any, Any]) -> tuple[dict[str, Scalar], dict[str, str]]:
    """Return the values that are scalars, as Python's own types, and for each other key why its value is not."""
    plain: dict[str, Scalar] = {}
    rejected: dict[str, str] = {}
    for key, value in dict(values).items():
        if type(value) in SCALAR_TYPES and type(key) is str:
            plain[key] = value
            continue
        try:
            if not isinstance(key, str):
                raise TypeError(f"keys must be strings, got {type(key).__name__}")
            plain[str(key)] = to_scalar(value)
        except Exception as error:  # the value's own code may raise anything
            rejected[str(key)] = str(error)
    return plain, rejected


def to_scalar(value: Any) -> Scalar:
    """Convert a scalar to one of Python's own types; NumPy's, and arrays and tensors of one element, are scalars too.

    Raises:
        TypeError: The value is not a scalar. The value's own code may raise anything else.
    """
    if not isinstance(value, _SCALARS) and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, Real):  # NumPy's longdouble, fractions
        return float(value)
    raise TypeError(f"values must be numbers, strings or None, got {type(value).__name__}")
