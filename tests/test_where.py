"""Conditions on configurations are parsed, never evaluated, and errors point at their position."""

from __future__ import annotations

from functools import partial

import pytest

from mlxp_core.errors import ConditionError
from mlxp_core.results.conditions import look_up, parse_condition

pytestmark = pytest.mark.once

CONFIG = {"lr": 0.01, "name": "a b", "deep": {"on": True, "size": [3, 4]}, "seed": 10, "word": "10", "none": None}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("lr>=0.01", True),
        ("lr > 1e-2", False),
        ("lr=1e-2 and seed!=3", True),
        ("name=='a b'", True),
        ('name != "a b"', False),
        ("deep.on==true and deep.size.1<=4", True),
        ("seed>9", True),
        ("word==10", True),
        ("seed=='10'", True),
        ("none==null", True),
        ("none<3", False),
        ("name<3", False),
        ("absent!=3", False),
        ("deep==3", False),
        ("name==__import__('os').getpid()", None),
    ],
)
def test_conditions(condition: str, holds: bool | None) -> None:
    if holds is None:
        with pytest.raises(ConditionError):
            parse_condition(condition)
    else:
        assert parse_condition(condition).holds(partial(look_up, CONFIG)) is holds


@pytest.mark.parametrize(
    ("condition", "position", "expected"),
    [
        ("", 0, "a configuration key"),
        ("lr", 2, "one of =="),
        ("lr >", 4, "a value"),
        ("lr>1 seed<2", 5, "'and'"),
        ("lr>1 and ", 9, "a configuration key"),
        ("lr >> 3", 4, "a value"),
        ("lr>'1", 3, "a value"),
        ("lr>1 or seed<2", 5, "'and'"),
    ],
)
def test_errors_point_at_their_position(condition: str, position: int, expected: str) -> None:
    with pytest.raises(ConditionError) as error:
        parse_condition(condition)
    lines = str(error.value).splitlines()
    assert f"--where: expected {expected}" in lines[0]
    assert lines[2].index("^") - 2 == position
