"""The fast reader of YAML returns what libyaml returns."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mlxp_core.runs.fast_yaml import load_yaml

pytestmark = pytest.mark.once

words = st.sampled_from(
    ["a", "on", "No", "null", "~", "1", "0x1f", "1e3", "1.0e-05", "a b", "a: b", "- a", "'", "#", ""]
)
texts = words | st.text(max_size=12) | st.text("abc 01.:-_#'\"\n\t{}[]&*!|>%@`", max_size=100)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)
lines = st.lists(st.text("ab:- '\"[]{}&*<0.#|>!", max_size=8), max_size=6)


@given(st.dictionaries(texts, values, max_size=5))
def test_what_is_dumped(record: dict[str, Any]) -> None:
    text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True).encode()
    assert load_yaml(text) == yaml.load(text, yaml.CSafeLoader)


@given(st.text("ab:- \n'[]{}0.", max_size=40) | lines.map("\n".join))
@example("a: 2\n<<: {a: 1}\n")
@example("a: &x 1\nb: *x\n")
@example("yes: 1\n")
@example("a: 012\nb: 1_0\n")
@example("---\na: 1\n---\nb: 2\n")
@example("a:\n  b: 1\n  --- c\n")
@example("a: b\n  c: d\n")
@example("a: |\n  b\n\n  c\n")
@example("a: 1\ra: 2\n")
@example("a: 1")
def test_any_text(text: str) -> None:
    """A text is read as libyaml reads it, or rejected if libyaml rejects it."""
    try:
        expected = yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError:
        with pytest.raises(yaml.YAMLError):
            load_yaml(text.encode())
    else:
        assert load_yaml(text.encode()) == expected


def test_what_differs_between_records_is_read_without_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "status: COMPLETE\nat: '2026-11-23T03:31:43+00:00'\nscheduler:\n  name: A\n  job: '412_0'\nexit_status: 0\n"
    expected = yaml.safe_load(text)
    monkeypatch.setattr(yaml, "load", None)
    assert load_yaml(text.encode()) == expected
