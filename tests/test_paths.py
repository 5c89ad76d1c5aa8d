"""How messages show paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxp_core.paths import path_ranges, short_path


def test_short_path() -> None:
    assert short_path(Path("/a/logs/5"), Path("/a")) == "logs/5"
    assert short_path(Path("/a/logs/5"), Path("/a/lo")) == "/a/logs/5"


@pytest.mark.parametrize(
    ("paths", "text"),
    [
        ([], ""),
        (["/a/logs/5"], "logs/5"),
        (["/a/logs/5", "/a/logs/6", "/a/logs/7", "/a/logs/9", "/a/logs/10"], "logs/5-7, logs/9-10"),
        (["/a/1", "/b/2"], "1, /b/2"),
        (["/a/logs/7", "/a/logs/6"], "logs/7, logs/6"),
        (["/a/logs/a", "/a/logs/0"], "logs/a, logs/0"),
    ],
)
def test_path_ranges(paths: list[str], text: str) -> None:
    assert path_ranges([Path(path) for path in paths], lambda path: short_path(path, Path("/a"))) == text
