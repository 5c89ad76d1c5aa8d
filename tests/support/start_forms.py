"""Runs compared with those of Hydra's own launcher."""

from __future__ import annotations

import shutil
from typing import Any

from tests.programs import App


def same_as_basic(app: App, launched: list[dict[str, Any]], form: dict[str, Any]) -> None:
    """Compare with what Hydra's own launcher gives."""
    shutil.rmtree(app.directory / "multirun")
    run_form(app, form)
    basic = app.seen()
    assert [run["config"] for run in launched] == [run["config"] for run in basic]
    assert len(launched) == 2
    for ours, theirs in zip(launched, basic, strict=True):
        for key in ("flags", "main", "python", "unbuffered", "environment"):
            assert ours[key] == theirs[key], key
        assert ours["job"]["num"] == theirs["job"]["num"]
        assert ours["job"]["name"] == theirs["job"]["name"]
        different = {"hydra/launcher"}
        assert {k: v for k, v in ours["choices"].items() if k not in different} == {
            k: v for k, v in theirs["choices"].items() if k not in different
        }
        in_run_dir = theirs["cwd"] == theirs["output_dir"]
        assert ours["cwd"] == (ours["output_dir"] if in_run_dir else theirs["cwd"])


def run_form(app: App, form: dict[str, Any], *more: str) -> None:
    program = tuple(word.format(directory=app.directory) for word in form.get("program", ("main.py",)))
    app.sweep("x=1,2", *more, *form.get("arguments", ()), program=program, env=form.get("env", {}))
