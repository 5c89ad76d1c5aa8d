"""Tables of runs, their columns, and the choices of config groups in them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlxp_core.cli.table_layout import lay_out, lines
from mlxp_core.results import rows as rows_module
from mlxp_core.results.choices import read_choices
from mlxp_core.results.listing import choose, list_runs
from mlxp_core.results.override_values import texts_of, values_of
from tests.programs import LOGGING, App
from tests.support.cli import mlxp, statuses

LOCAL = ("hydra/launcher=local", LOGGING)
# One group in its own place, one within another, one with a package, and one that is global
CONFIG = {
    "config": "defaults:\n  - model: linear\n  - optimizer@train.optimizer: sgd\n  - optional experiment: null\n"
    "  - _self_\nx: 1\naction: null\n",
    "model/linear": "defaults: [head: small]\nhidden: []\n",
    "model/mlp": "defaults: [head: big]\nhidden: [32, {a: 1}]\n",
    "model/head/small": "size: 1\n",
    "model/head/big": "size: 9\n",
    "optimizer/sgd": "lr: 0.1\n",
    "optimizer/adam": "lr: 0.01\n",
    "experiment/long": "# @package _global_\nx: 7\n",
}
SWEEP = ("model=linear,mlp", "optimizer@train.optimizer=adam,sgd")


@pytest.fixture
def grouped(app: App) -> App:
    """An application with config groups."""
    for name, text in CONFIG.items():
        app.write(f"conf/{name}.yaml", text)
    return app


def cells(app: App, *arguments: str) -> list[list[str]]:
    """Return the rows of `mlxp ls --csv`."""
    return list(csv.reader(io.StringIO(mlxp(app, "ls", "--csv", *arguments).stdout)))[1:]


@pytest.mark.hydra
def test_config_groups(grouped: App) -> None:
    """Their keys stand for the choices, before and after the runs."""
    grouped.sweep(*SWEEP, "hydra/launcher=slurm", "hydra.launcher.dry_run=true", LOGGING)
    for condition, runs in (
        ("model==mlp", "34"),
        ("model==mlp and optimizer@train.optimizer==sgd", "4"),
        ("train.optimizer==adam and optimizer!=sgd", "13"),
    ):
        assert "".join(statuses(grouped, "--where", condition)) == runs
    grouped.call("bash", "-c", "for n in 1 2 3 4; do bash logs/$n/script.sh & done; wait")
    grouped.sweep("experiment=long", *LOCAL)
    for condition, runs in (
        ("model==mlp", "34"),
        ("model==mlp and optimizer@train.optimizer==sgd", "4"),
        ("train.optimizer==adam and optimizer!=sgd", "13"),
        ("model/head==big and model.head==big and x==1", "34"),
        ("experiment==long", "5"),
        ("model.hidden==3", ""),
    ):
        assert "".join(statuses(grouped, "--where", condition)) == runs, condition
    assert list(statuses(grouped, "--sort", "-model")) == ["3", "4", "1", "2", "5"]
    names = "model,model/head,train.optimizer,experiment,model.hidden"
    hidden = '[32, {"a": 1}]'
    assert cells(grouped, "--columns", names)[2:] == [
        ["mlp", "big", "adam", "", hidden],
        ["mlp", "big", "sgd", "", hidden],
        ["linear", "small", "sgd", "long", ""],
    ]
    row = json.loads(mlxp(grouped, "ls", "--json", "--columns", names).stdout)[2]
    assert (row["model"], row["experiment"], row["model.hidden"]) == ("mlp", None, [32, {"a": 1}])
    assert "did you mean experiment?" in mlxp(grouped, "ls", "--where", "experimant==long").stderr
    written = (grouped.directory / "logs/1/metadata/hydra.yaml").read_bytes()
    choices = yaml.safe_load(written)["hydra"]["runtime"]["choices"]
    found = read_choices(written)
    assert {name: found[name] for name in choices} == choices
    assert read_choices(yaml.safe_dump(yaml.safe_load(written), default_flow_style=True).encode()) == found


def make_runs(root: Path, number: int) -> None:
    """Make runs whose records are as Hydra and a job write them."""
    for name in range(1, number + 1):
        metadata = root / str(name) / "metadata"
        metadata.mkdir(parents=True)
        info: dict[str, Any] = {"status": "COMPLETE", "exit_status": 0, "scheduler": {"name": None}}
        (metadata / "info.yaml").write_text(yaml.safe_dump(info, sort_keys=False))
        (metadata / "config.yaml").write_text("model: {hidden: [32]}\nlr: 0.1\n")
        hydra = {"hydra": {"runtime": {"choices": {"model": "mlp", "hydra/help": "default"}}}}
        (metadata / "hydra.yaml").write_text(yaml.safe_dump(hydra))
        (root / str(name) / "metrics").mkdir()
        (root / str(name) / "metrics" / "train.json").write_text(json.dumps({"loss": name, "epoch": name}) + "\n")


@pytest.mark.once
def test_choices_are_read_only_for_keys_that_need_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_runs(tmp_path, 3)
    (tmp_path / "3" / "metrics" / "train.json").unlink()
    read = []

    def counted(data: bytes) -> dict[str, Any]:
        read.append(data)
        return read_choices(data)

    monkeypatch.setattr(rows_module, "read_choices", counted)
    for where, sort, runs, times in (
        ("train.loss>1", "-train.loss", ["2"], 0),
        ("epoch<=2 and lr==0.1", "epoch", ["1", "2"], 1),  # the third run has no epoch
        ("status==COMPLETE and model.hidden.0==32", "started", ["1", "2", "3"], 0),
        ("model==mlp", "model", ["1", "2", "3"], 3),
    ):
        read.clear()
        rows = choose(list_runs(tmp_path).rows, status=None, where=where, sort=sort)
        assert ([row.run.name for row in rows], len(read)) == (runs, times), where


@pytest.mark.once
@pytest.mark.parametrize(
    "damage", ["", "hydra:", "hydra: {", "\0", "hydra: {runtime: [1]}", "hydra:\n  runtime:\n    cho"]
)
def test_damaged_records(tmp_path: Path, damage: str) -> None:
    """Files that are being written, or are damaged, have no choices; damaged metrics are left out."""
    make_runs(tmp_path, 2)
    (tmp_path / "1" / "metadata" / "hydra.yaml").write_text(damage)
    (tmp_path / "1" / "metrics" / "train.json").write_text('{"loss": 1, "epoch": 1}\nno JSON\n[3]\n{"lo')
    first, second = list_runs(tmp_path).rows
    assert (first.choices, first.shown("model")) == ({}, {"hidden": [32]})
    assert second.shown("model") == "mlp"
    assert second.counters == {"epoch": 2}


@pytest.mark.once
def test_values_in_overrides() -> None:
    overrides = ["+new=1", "~gone=2", "~also", "name='a b'", "model/head=big", "optimizer@train.optimizer=sgd", "e="]
    assert values_of(overrides) == {
        "new": 1, "name": "a b", "model/head": "big", "model.head": "big", "e": "",
        "optimizer@train.optimizer": "sgd", "train.optimizer": "sgd", "optimizer": "sgd",
    }  # fmt: skip
    assert texts_of(overrides) == {
        "new": "1", "gone": "(deleted)", "also": "(deleted)", "name": "a b", "model/head": "big",
        "optimizer@train.optimizer": "sgd", "e": "",
    }  # fmt: skip


@pytest.mark.once
def test_columns_of_overrides_and_metrics(app: App) -> None:
    """Each has a column, also among others; values that are no numbers are texts."""
    app.sweep("x=1,100", "+y=a,b", *LOCAL)
    for number, (loss, epoch) in enumerate([(0.5, 9), (float("nan"), 10), (1e-7, 3)], start=1):
        app.write(f"logs/{number}/metrics/train.json", json.dumps({"loss": loss, "epoch": epoch}) + "\n")
        app.write(
            f"logs/{number}/metrics/eval/test.json", json.dumps({"note": f"n {number}", "epoch": epoch - 1}) + "\n"
        )
    assert mlxp(app, "ls", "--columns", "run,overrides,metrics").stdout.splitlines() == [
        "run  x    y  eval.test.note  train.loss  epoch",
        "1      1  a  n 1               0.5        9",
        "2      1  b  n 2             nan         10",
        "3    100  a  n 3               1e-07      3",
        "4    100  b  -                 -          -",
    ]
    assert cells(app, "--columns", "run,overrides,epoch,metrics")[1:4:2] == [
        ["2", '["x=1", "+y=b"]', "10",
         '{"eval.test.note": "n 2", "eval.test.epoch": 9, "train.loss": null, "train.epoch": 10}'],
        ["4", '["x=100", "+y=b"]', "", ""],
    ]  # fmt: skip
    assert list(statuses(app, "--sort", "-epoch")) == ["2", "1", "3", "4"]


@pytest.mark.once
def test_layout() -> None:
    columns = ["run", "status", "job", "text", "loss"]
    rows = [
        ["1", "COMPLETE", "12_0", "x" * 60, "0.25"],
        ["20", "FAILED", "-", "y", "-12"],
        ["3", "FAILED", "-", "-", "-"],
    ]
    wide = lay_out(columns, rows, numbers=[3, 4])
    assert [line[:19] for line in lines(wide)][1:3] == ["1    COMPLETE  12_0", "20   FAILED    -"[:19].ljust(19)]
    assert [line.split("  ")[-1] for line in lines(wide)][1] == "  0.25" or lines(wide)[1].endswith("    0.25")
    assert lines(wide)[2].endswith("-12")
    for width, titles, left_out in (
        (200, columns, []),
        (55, columns, []),
        (52, ["run", "status", "text", "loss"], ["job"]),
        (43, ["run", "status", "text"], ["job", "loss"]),
        (5, ["run"], ["status", "job", "text", "loss"]),
    ):
        layout = lay_out(columns, rows, width=width, spare=["job"], numbers=[4])
        assert [title.strip() for title in layout.columns] == titles, width
        assert layout.left_out == left_out
        assert max(map(len, lines(layout))) <= max(width, 3)
        if "text" in titles:
            assert ("…" in lines(layout)[1]) is (width < 90)
    assert lines(lay_out(["a", "b"], [])) == ["a  b"]
