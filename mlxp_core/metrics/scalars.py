"""What can stand in a line of metrics: texts as keys, scalars as values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from numbers import Real
from typing import Any

Scalar = bool | int | float | str | None

_SCALARS = (bool, int, float, str, type(None))
SCALAR_TYPES = frozenset(_SCALARS)


def _make_encode() -> Callable[[dict[str, Scalar]], str]:
    """The encoder of Python's json, which writes NaN and Infinity as it reads them.

    JSONEncoder makes itself the part in C anew in every call, which takes as long as its work; so it is made here once,
    where it is as we know it.
    """
    with suppress(Exception):  # it is no documented part of json
        make: Any = vars(json.encoder)["c_make_encoder"]
        chunks = make(None, None, json.encoder.encode_basestring_ascii, None, ": ", ", ", False, False, True)
        trial: dict[str, Scalar] = {"a": 1.5, "é": '"', "b": None}
        if "".join(chunks(trial, 0)) == json.dumps(trial):
            return lambda values: "".join(chunks(values, 0))
    return json.JSONEncoder().encode


encode = _make_encode()


def scalars(values: Mapping[Any, Any]) -> tuple[dict[str, Scalar], dict[str, str]]:
    """The values of a dict that are scalars, as Python's own types; and what is wrong with the others."""
    plain: dict[str, Scalar] = {}
    others: dict[str, str] = {}
    for key, value in dict(values).items():
        if type(value) in SCALAR_TYPES and type(key) is str:
            plain[key] = value
            continue
        try:
            if not isinstance(key, str):
                raise TypeError(f"the key is no text, but {type(key).__name__}")
            plain[str(key)] = scalar(value)
        except Exception as error:  # what the value's own code raises is not known
            others[str(key)] = str(error)
    return plain, others


def scalar(value: Any) -> Scalar:
    """A scalar as Python's own type; also numpy's, and arrays and tensors of one element.

    Raises:
        TypeError: it is none; the value's own code may raise anything.
    """
    if not isinstance(value, _SCALARS) and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, _SCALARS):
        return value
    if isinstance(value, Real):  # numpy's longdouble, fractions
        return float(value)
    raise TypeError(f"{type(value).__name__} is no number, text or None")
