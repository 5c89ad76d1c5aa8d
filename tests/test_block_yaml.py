"""The fast reading of YAML never differs from libyaml's."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlxp_core.runs.fast_yaml import _load, _OtherYaml, load_yaml

pytestmark = pytest.mark.once

words = st.sampled_from(
    ["a", "on", "No", "null", "~", "1", "0x1f", "1e3", "1.0e-05", "a b", "a: b", "- a", "'", "#", ""]
)
texts = words | st.text(max_size=12) | st.text("abc 01.:-_#'\"\n\t{}[]&*!|>%@`", max_size=100)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(texts, values, max_size=5))
def test_what_is_dumped(record: dict[str, Any]) -> None:
    text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True).encode()
    assert load_yaml(text) == yaml.load(text, yaml.CSafeLoader)


@given(st.text("ab:- \n'[]{}0.", max_size=40))
def test_what_is_not(text: str) -> None:
    """Anything at all is read as libyaml reads it, or refused as it refuses it."""
    try:
        expected = yaml.load(text, yaml.CSafeLoader)
    except yaml.YAMLError:
        with pytest.raises(yaml.YAMLError):
            load_yaml(text.encode())
    else:
        assert load_yaml(text.encode()) == expected


def test_a_record_is_read_fast() -> None:
    """Without libyaml, that is."""
    text = "status: COMPLETE\nat: '2026-11-23T03:31:43+00:00'\nscheduler:\n  name: A\n  job: '412_0'\nversion:\n"
    text += (
        "  commit: 4a5cf2493d\n  untracked:\n  - a/b.txt\n  requirements: []\nloss: 0.5\nexit_status: 0\nerror: null\n"
    )
    assert _load(text) == yaml.safe_load(text)
    for other in (
        "a: 1_0\n",
        "a: 012\n",
        "yes: 1\n",
        "a: b",
        "a: &x 1\n",
        "a: |\n  b\n",
        "---\na: 1\n",
        "a: b\n  c: d\n",
    ):
        with pytest.raises(_OtherYaml):
            _load(other)
