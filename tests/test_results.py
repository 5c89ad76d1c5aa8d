"""Results as data: `read_runs` and `mlxp table`, on runs of the example application and on made-up run directories."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import mlxp_core
from mlxp_core import read_runs
from mlxp_core.errors import ConditionError, ExtraMissingError, NoRunsError, SelectionError
from mlxp_core.results.summary import Cell
from tests.clusters import REPOSITORY
from tests.programs import App
from tests.test_cli import SWEEP, make_run, mlxp

pytestmark = pytest.mark.once


def make(
    logs: Path,
    number: int,
    overrides: str,
    config: dict[str, Any] | None,
    accuracy: list[Any] | None,
    status: str = "COMPLETE",
) -> Path:
    """Make a run that logged an accuracy in each epoch."""
    run = make_run(logs / str(number), status=status, exit_status=0 if status == "COMPLETE" else 1)
    (run / "metadata" / "overrides.yaml").write_text(yaml.safe_dump(overrides.split()))
    (run / "metadata" / "config.yaml").unlink()
    if config is not None:
        (run / "metadata" / "config.yaml").write_text(yaml.safe_dump(config))
    if accuracy is not None:
        (run / "metrics").mkdir()
        lines = [json.dumps({"accuracy": value, "epoch": epoch}) for epoch, value in enumerate(accuracy)]
        (run / "metrics" / "test.json").write_text("\n".join([*lines, ""]))
    return run


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Two learning rates, three seeds; one failed, one rerun, one that is pending in another group."""
    logs = tmp_path / "logs"
    number = 0
    for lr, base in ((0.1, 0.6), (0.01, 0.7)):
        for seed in (1, 2, 3):
            number += 1
            config = {"optimizer": {"lr": lr, "name": "sgd"}, "seed": seed, "sizes": [32]}
            best = base + seed / 100
            make(logs, number, f"optimizer.lr={lr} seed={seed}", config, [0.1, best, best - 0.05])
    record = logs / "3" / "metadata" / "info.yaml"
    record.write_text(record.read_text().replace("status: COMPLETE", "status: FAILED"))
    config = {"optimizer": {"lr": 0.01, "name": "sgd"}, "seed": 3, "sizes": [32]}
    make(logs, 7, "optimizer.lr=0.01 seed=3", config, [0.1, 0.9, 0.2])
    return logs


def test_the_example(tmp_path: Path) -> None:
    """Mean and deviation over seeds, best epoch and frames of a sweep, against the values in the files themselves."""
    app = App(tmp_path / "example")
    shutil.copytree(REPOSITORY / "example_app", app.directory, ignore=shutil.ignore_patterns("logs", "__pycache__"))
    app.sweep("model=linear,mlp", "seed=1,2", "epochs=3", "optimizer.lr=0.3", *SWEEP)
    logs = app.directory / "logs"
    best = [
        max(
            json.loads(line)["accuracy"] for line in (logs / str(number) / "metrics/test.json").read_text().splitlines()
        )
        for number in range(1, 5)
    ]

    runs = read_runs(logs, status="COMPLETE")
    assert len(runs) == 4
    assert runs.diff() == ["model", "seed"]  # model.hidden follows from the model
    aggregate = runs.over("seed").aggregate({"test.accuracy": ["max", "last"]})
    assert aggregate.keys == ("model",)
    frame = aggregate.to_pandas().set_index("model")
    for model, values in (("linear", best[:2]), ("mlp", best[2:])):
        assert frame.loc[model, "test.accuracy.max.mean"] == pytest.approx(statistics.mean(values))
        assert frame.loc[model, "test.accuracy.max.std"] == pytest.approx(statistics.stdev(values))
        assert frame.loc[model, "test.accuracy.max.n"] == 2
    found = runs.best("test.accuracy")
    assert found is not None
    assert (found.run.name, found.value.value) == (str(1 + best.index(max(best))), max(best))
    records = runs.to_pandas("train")
    assert list(records.columns) == ["run", "epoch", "loss"]
    assert len(records) == 12
    assert "Starting from epoch: 0" in runs[0].log()
    text = mlxp(app, "table", "--over", "seed", "--of", "test.accuracy", "--best", "max", "--pivot", "model")
    assert "model=linear" in text
    assert "n = 2" in text
    assert "Best: run " in text


def test_a_frame_of_runs(logs: Path) -> None:
    runs = read_runs(logs, where="optimizer.lr>=0.01")
    assert repr(runs) == "<7 runs: 6 COMPLETE, 1 FAILED>"
    frame = runs.to_pandas()
    assert list(frame["run"]) == [1, 2, 3, 4, 5, 6, 7]
    assert list(frame.columns[:7]) == [
        "run",
        "status",
        "optimizer.lr",
        "optimizer.name",
        "seed",
        "sizes",
        "test.accuracy",
    ]
    assert frame["optimizer.lr"].dtype == float
    assert frame["sizes"][0] == "[32]"
    assert str(frame["started"].dtype).startswith("datetime64")
    assert {"commit", "ended", "elapsed", "host", "overrides", "directory"} <= set(frame.columns)
    polars = runs.to_polars()
    assert polars["seed"].to_list() == [1, 2, 3, 1, 2, 3, 3]
    assert runs.sort("-test.accuracy")[0].name == "6"
    assert [run.name for run in runs[1:3]] == ["2", "3"]
    run = runs[0]
    assert run.config["optimizer"] == {"lr": 0.1, "name": "sgd"}
    assert run.overrides == ["optimizer.lr=0.1", "seed=1"]
    assert run.metrics("test")[1] == {"accuracy": 0.61, "epoch": 1}
    assert run.metrics("train") == []
    assert run.logs == ["test"]
    assert run.path == logs / "1"
    assert "<td>COMPLETE</td>" in runs._repr_html_()
    assert runs[:0].to_pandas().empty


def test_reruns_and_what_is_missing(logs: Path) -> None:
    """The last complete run of a configuration counts, and each run that does not count is named."""
    (logs / "4" / "metrics" / "test.json").unlink()
    aggregate = read_runs(logs).over("seed").aggregate({"test.accuracy": "max"})
    by_lr = {group.settings["optimizer.lr"]: group for group in aggregate}
    assert [run.name for run in by_lr[0.01].runs] == ["4", "5", "7"]
    assert by_lr[0.01].cells[aggregate.measures[0]].values == (0.72, 0.9)
    assert [run.name for run in aggregate.left_out] == ["6"]
    text = "\n".join(aggregate.notes)
    assert "1 run is left out (6)" in text
    assert "Run 3 does not count: it is FAILED (optimizer.lr=0.1 seed=3)." in text
    assert "No value of test.accuracy (max): run 4." in text
    assert str(aggregate.best) == "run 7, test.accuracy 0.9 at epoch 1"
    every = read_runs(logs).over("seed").aggregate({"test.accuracy": "max"}, reruns="all", incomplete=True)
    assert sorted(cell.n for group in every for cell in group.cells.values()) == [3, 3]
    shutil.rmtree(logs / "2")
    aggregate = read_runs(logs).over("seed").aggregate({"test.accuracy": "epoch=1"})
    assert "Never launched: seed=2 of optimizer.lr=0.1." in aggregate.notes
    assert aggregate.best is None


def test_runs_that_have_not_started(logs: Path) -> None:
    """They belong to the group that the settings of the others leave no doubt about."""
    make(logs, 8, "optimizer.lr=0.1 seed=4", None, None, status="STARTING")
    aggregate = read_runs(logs).over("seed").aggregate({"test.accuracy": "last"})
    assert [group.settings for group in aggregate] == [{"optimizer.lr": 0.01}, {"optimizer.lr": 0.1}]
    assert any(note.startswith("Run 8 does not count") for note in aggregate.notes)


def test_config_groups_stand_for_their_choice(tmp_path: Path) -> None:
    for number, (choice, hidden) in enumerate((("mlp", [32]), ("deep", [64, 64]), ("deep", [64, 64])), start=1):
        make(tmp_path, number, f"model={choice} seed={number}", {"model": {"hidden": hidden}, "seed": number}, [0.5])
    assert read_runs(tmp_path).diff() == ["model", "seed"]
    aggregate = read_runs(tmp_path).over("seed").aggregate({"test.accuracy": "last"})
    assert [(group.name, len(group.runs)) for group in aggregate] == [("model=deep", 2), ("model=mlp", 1)]
    # The default choice, which Hydra's own record names
    default = make(tmp_path, 4, "seed=4", {"model": {"hidden": [32]}, "seed": 4}, [0.5])
    (default / "metadata" / "hydra.yaml").write_text("hydra:\n  runtime:\n    choices:\n      model: mlp\n")
    assert list(read_runs(tmp_path).to_pandas()["model"]) == ["mlp", "deep", "deep", "mlp"]
    assert read_runs(tmp_path).diff() == ["model", "seed"]
    make(tmp_path, 5, "model=deep model.hidden=[7]", {"model": {"hidden": [7]}, "seed": 1}, [0.5])
    assert read_runs(tmp_path).diff() == ["model", "model.hidden", "seed"]
    # Before it starts, a run has only its overrides
    make(tmp_path, 6, "model=mlp seed=9", None, None, status="STARTING")
    assert read_runs(tmp_path).to_pandas()["model.hidden"][5] == "[32]"


def test_formats(logs: Path) -> None:
    app = App(logs.parent)
    arguments = ("table", "--over", "seed", "--of", "test.accuracy", "--best", "max")
    lines = mlxp(app, *arguments).splitlines()
    assert lines[0].split() == ["optimizer.lr", "test.accuracy", "(max)"]
    assert lines[1].split() == ["0.01", "0.78", "±", "0.11", "*"]
    assert lines[2].split() == ["0.1", f"{0.615:.2f}", "±", "0.01", "(2)"]
    latex = mlxp(app, *arguments, "--format", "latex")
    assert r"0.01 & \textbf{0.78 $\pm$ 0.11}" in latex
    assert latex.rstrip().endswith(r"\end{tabular}")
    markdown = mlxp(app, *arguments, "--format", "markdown").splitlines()
    assert markdown[0] == "| optimizer.lr | test.accuracy (max) |"
    assert markdown[2].startswith("| 0.01 | **0.78 ± 0.11** |")
    rows = list(csv.DictReader(io.StringIO(mlxp(app, *arguments, "--format", "csv"))))
    assert float(rows[0]["test.accuracy.max.mean"]) == pytest.approx(statistics.mean([0.71, 0.72, 0.9]))
    (first, second) = json.loads(mlxp(app, *arguments, "--format", "json", "--spread", "ci"))
    assert first["runs"] == ["4", "5", "7"]
    assert first["test.accuracy.max.low"] < first["test.accuracy.max.mean"] < first["test.accuracy.max.high"]
    assert second["test.accuracy.max.n"] == 2
    assert "<strong>0.78 ± 0.11</strong>" in mlxp(app, *arguments, "--format", "html")
    two = mlxp(app, *arguments, "--of", "test.epoch", "--best", "last", "--pivot", "optimizer.lr")
    assert "test.epoch (last) optimizer.lr=0.1" in two.splitlines()[0]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "Name a metric with --of: test.accuracy."),
        (["--of", "test.acuracy"], "--of: no run has logged a number as 'test.acuracy'; did you mean test.accuracy?"),
        (["--of", "accuracy"], "did you mean test.accuracy?"),
        (["--of", "test.accuracy", "--over", "sed"], "--over: no run has 'sed' as a metric or a configuration key"),
        (["--of", "test.accuracy", "--by", "seeds"], "did you mean seed?"),
        (["--of", "test.accuracy", "--pivot", "model"], "--pivot must be one of optimizer.lr, seed, got 'model'."),
        (["--of", "test.accuracy", "--best", "maxx"], "Did you mean max?"),
        (["--of", "test.accuracy", "--at", "epoch=99"], "--at: no run has logged test.accuracy at epoch=99."),
        (
            ["--of", "test.accuracy", "--at", "now"],
            "--at must be max, min, last, or a time such as epoch=10, got 'now'.",
        ),
        (["--of", "test.accuracy", "--at", "epoch=1", "--best", "max"], "cannot be combined"),
        (["--of", "test.accuracy", "--best", "max", "--best", "min"], "once for each --of (1), got 2"),
        (["--of", "test.accuracy", "--where", "z==1"], "--where: no run has 'z'"),
        (["--of", "test.accuracy", "--over", "seed,", "x"], "--over ends with a comma"),
    ],
)
def test_wrong_use(logs: Path, arguments: list[str], said: str) -> None:
    assert said in mlxp(App(logs.parent), "table", *arguments, status=2)


def test_wrong_use_in_python(logs: Path, tmp_path: Path) -> None:
    runs = read_runs(logs)
    with pytest.raises(NoRunsError):
        read_runs(tmp_path / "nowhere")
    with pytest.raises(ConditionError, match=r"^where: expected"):
        read_runs(logs, where="seed ! 3")
    with pytest.raises(SelectionError, match="did you mean test"):
        runs.to_pandas("tset")
    with pytest.raises(SelectionError, match="reruns must be latest or all"):
        runs.over("seed").aggregate({"test.accuracy": "max"}, reruns="first")
    with pytest.raises(SelectionError, match="spread must be one of"):
        runs.over("seed").aggregate({"test.accuracy": "max"}).to_pandas("var")
    with pytest.raises(AttributeError):
        mlxp_core.read_run  # noqa: B018


def test_bad_metrics(logs: Path) -> None:
    """Damaged lines, NaN, infinities, other types and other keys are no reason to fail."""
    file = logs / "1" / "metrics" / "test.json"
    lines = ['{"accuracy": 0.5, "epoch": 0}', "{damaged", "3", '{"accuracy": NaN, "epoch": 1}', '{"accuracy": 0.4}']
    file.write_text("\n".join([*lines, '{"accuracy": 0.9, "ep']))
    (logs / "2" / "metrics" / "test.json").write_text('{"accuracy": "high", "other": 1}\n{"accuracy": Infinity}\n')
    (logs / "4" / "metrics" / "test.json").write_bytes(b'\xff\xfe\n{"accuracy": ' + b"9" * 400 + b"}\n")
    (logs / "5" / "metrics" / "test.json").unlink()
    os.mkfifo(logs / "5" / "metrics" / "test.json")
    runs = read_runs(logs)
    assert [record.get("accuracy") for record in runs[0].metrics("test")][::2] == [0.5, 0.4]
    values = {
        run.name: cell.values
        for group in runs.over().aggregate({"test.accuracy": "max"}, reruns="all", incomplete=True)
        for cell in group.cells.values()
        for run in group.runs
        if len(group.runs) == 1
    }
    assert values["1"] == (0.5,)
    assert values["2"] == (float("inf"),)
    assert values["4"] == (float("inf"),)
    assert values["5"] == ()
    assert len(runs.to_pandas("test")) == len(runs.to_polars("test"))
    assert "is not finite" in "\n".join(runs.over("seed").aggregate({"test.accuracy": "max"}).notes)
    text = mlxp(App(logs.parent), "table", "--over", "seed", "--of", "test.accuracy", "--best", "max")
    assert "inf" in text
    json.loads(mlxp(App(logs.parent), "table", "--of", "test.accuracy", "--format", "json"))


def test_unusual_configurations(tmp_path: Path) -> None:
    make(tmp_path, 1, "run=3", {"run": 3, "when": "2026-01-01", "x": float("nan"), "empty": {}}, [1])
    make(tmp_path, 2, "run=4", {"run": 4, "status": "new", "x": float("nan"), "empty": {}}, [2])
    with (tmp_path / "2" / "metadata" / "config.yaml").open("a") as file:
        file.write("day: 2026-01-02\n")
    make(tmp_path, 3, "", None, None)
    (tmp_path / "3" / "metadata" / "config.yaml").write_text("{")
    frame = read_runs(tmp_path).to_pandas()
    assert frame["config.run"].tolist()[:2] == [3, 4]
    assert frame["config.status"].tolist()[1] == "new"
    assert frame["status"].tolist() == ["COMPLETE"] * 3
    assert "run" in read_runs(tmp_path).diff()
    assert "x" not in read_runs(tmp_path).diff()


def test_without_the_extra(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("mlxp_core.results.frames.import_module", missing)
    runs = read_runs(logs)
    with pytest.raises(ExtraMissingError, match=r"pip install 'hydra-mlxp\[results\]'"):
        runs.to_pandas()
    with pytest.raises(ExtraMissingError, match="polars is not installed"):
        runs.to_polars()
    assert runs.columns("test")["accuracy"][1] == 0.61


def test_the_caches_are_kept(logs: Path) -> None:
    """A listing and a table use each other's directory, and the second time nothing is read again."""
    for path in logs.rglob("*"):
        os.utime(path, (1e9, 1e9))
    app = App(logs.parent)
    mlxp(app, "ls")
    first = mlxp(app, "table", "--over", "seed", "--of", "test.accuracy", "--best", "max")
    caches = {name: (logs / name).read_bytes() for name in (".mlxp-cache.json", ".mlxp-values.json")}
    assert mlxp(app, "table", "--over", "seed", "--of", "test.accuracy", "--best", "max") == first
    mlxp(app, "ls", "--where", "seed==1")
    assert caches == {name: (logs / name).read_bytes() for name in caches}
    shutil.rmtree(logs / "1")
    mlxp(app, "ls")
    assert '"1/' not in (logs / ".mlxp-cache.json").read_text()


def test_statistics() -> None:
    cell = Cell((0.5, 0.7, 0.9))
    assert cell.mean == pytest.approx(0.7)
    assert cell.std == pytest.approx(0.2)
    assert cell.sem == pytest.approx(0.2 / 3**0.5)
    assert cell.interval == Cell((0.5, 0.7, 0.9)).interval
    assert Cell((1.0,)).std is None
    assert Cell((float("inf"), float("-inf"))).interval is None
    assert Cell(()).n == 0


def test_importing_the_package_is_cheap() -> None:
    code = "import sys, mlxp_core; print(*(name for name in sys.modules if name.startswith('mlxp_core')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["mlxp_core"]
