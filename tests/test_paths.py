"""How messages show paths."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlxp_core.paths import path_ranges, short_path


def test_short_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert short_path(tmp_path / "logs" / "5") == "logs/5"
    assert short_path(tmp_path / "logs" / "5", tmp_path / "logs") == "5"
    assert short_path(tmp_path / "logs", tmp_path / "lo") == str(tmp_path / "logs")


@pytest.mark.parametrize(
    ("paths", "text"),
    [
        ([], ""),
        (["logs/5"], "logs/5"),
        (["logs/5", "logs/6", "logs/7", "logs/9", "logs/10"], "logs/5-7, logs/9-10"),
        (["0", "1"], "0-1"),
        (["/a/1", "/b/2"], "/a/1, /b/2"),
        (["logs/7", "logs/6"], "logs/7, logs/6"),
        (["logs/a", "logs/0"], "logs/a, logs/0"),
    ],
)
def test_path_ranges(paths: list[str], text: str) -> None:
    assert path_ranges(paths) == text
