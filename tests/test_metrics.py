"""Records logged to `metrics.*` are in the run's metrics/, once per epoch, however often the run is interrupted."""

from __future__ import annotations

import json
import logging
import math
import os
import pickle
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from mlxp_core.metrics.handler import MetricsHandler, start_metrics, stop_metrics
from mlxp_core.metrics.last_values import last_metrics
from mlxp_core.metrics.names import file_of, prefix_of
from mlxp_core.runs.file_cache import FileCache
from tests.clusters import REPOSITORY, Cluster
from tests.programs import LOGGING, App, info

IN_RUN_1 = "hydra.callbacks.mlxp_logging.forced_log_id=1"

# Trains for some epochs and continues from its checkpoint; `kill` names the epoch and the place in it where the process
# is killed, once
TRAINING = """
import logging, os, sys
from pathlib import Path
import hydra
from hydra.core.hydra_config import HydraConfig

train, evaluation = logging.getLogger("metrics.train"), logging.getLogger("metrics.eval.test")

@hydra.main(version_base=None, config_path="conf", config_name="config")
def main(config):
    here = Path(HydraConfig.get().runtime.output_dir)
    task = os.environ.get("SLURM_PROCID", "0")
    checkpoint = here / "artifacts" / ("epoch" if task == "0" else f"epoch{task}")

    def maybe_die(epoch, where):
        mark = here / "artifacts" / "killed"
        if config.kill == f"{epoch}-{where}" and not mark.exists():
            mark.touch()
            if config.how == "wait":
                import time
                time.sleep(120)
            os.kill(os.getpid(), 9)

    train.info({"started": "again" if checkpoint.exists() else "anew"})
    for epoch in range(int(checkpoint.read_text()) + 1 if checkpoint.exists() else 0, 4):
        for step in range(2):
            train.info({"loss": config.x / (epoch + 1), "epoch": epoch, "step": 2 * epoch + step})
            maybe_die(epoch, f"step{step}")
        evaluation.info({"accuracy": epoch / 4, "epoch": epoch})
        maybe_die(epoch, "evaluated")
        new = checkpoint.with_suffix(".new")
        new.write_text(str(epoch))
        new.replace(checkpoint)
        maybe_die(epoch, "saved")
    print("trained")
    if config.how == "exit":
        sys.exit(0)

if __name__ == "__main__":
    main()
"""


def training(app: App) -> App:
    """Turn an application into one that trains."""
    app.write("main.py", TRAINING)
    app.write("conf/config.yaml", "x: 1\nkill: null\nhow: null\n")
    return app


def lines(run: Path, name: str) -> list[dict[str, Any]]:
    """Return the records in one of a run's metrics files."""
    return [json.loads(line) for line in (run / "metrics" / f"{name}.json").read_text().splitlines()]


def assert_trained(run: Path, x: float = 1, starts: int = 1) -> None:
    """Check that a run's metrics contain each epoch once, in order."""
    records = lines(run, "train")
    losses = [{"loss": x / (i // 2 + 1), "epoch": i // 2, "step": i} for i in range(8)]
    assert [record for record in records if "loss" in record] == losses
    assert next(record["started"] for record in records if "started" in record) == "anew"
    assert len(records) == 8 + starts
    assert lines(run, "eval/test") == [{"accuracy": epoch / 4, "epoch": epoch} for epoch in range(4)]
    keys = yaml.safe_load((run / "metrics" / ".keys" / "metrics.yaml").read_text())
    assert keys == dict.fromkeys(
        ["eval.test.accuracy", "eval.test.epoch", "train.epoch", "train.loss", "train.started", "train.step"], ""
    )


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """Write the metrics of this process to a directory, for one attempt."""
    (tmp_path / "metrics").mkdir()
    start_metrics(tmp_path / "metrics")
    yield tmp_path / "metrics"
    stop_metrics()


def restart(directory: Path) -> None:
    """Begin another attempt."""
    start_metrics(directory)


def metric(name: str, *records: Any) -> None:
    """Log records as an application does."""
    for record in records:
        logging.getLogger(name).info(record)


def numbers(directory: Path, key: str = "epoch") -> list[Any]:
    """Return the values of a key in the lines of train.json."""
    return [json.loads(line).get(key) for line in (directory / "train.json").read_text().splitlines()]


# In Hydra programs


@pytest.mark.parametrize("job_logging", ["default", "disabled", "none", "verbose"])
def test_a_plain_run(app: App, job_logging: str) -> None:
    training(app)
    option = "hydra.verbose=true" if job_logging == "verbose" else f"hydra/job_logging={job_logging}"
    result = app.run(LOGGING, option)
    assert result.status == 0
    assert result.stdout.endswith("trained\n")
    assert "[metrics." not in result.text
    run = app.directory / "logs" / "1"
    assert_trained(run)
    log = run / "main.log"
    assert not log.exists() or log.read_text() == ""  # metrics are not repeated in the job's log


def test_without_the_callback(app: App) -> None:
    result = training(app).run()
    assert "[metrics.train][INFO] - {'loss': 1.0, 'epoch': 0, 'step': 0}" in result.stdout
    assert list(app.directory.rglob("train.json")) == []


@pytest.mark.parametrize("launcher", ["basic", "local", "joblib"])
def test_each_run_of_a_sweep_has_its_own(app: App, launcher: str) -> None:
    training(app)
    result = app.sweep(LOGGING, f"hydra/launcher={launcher}", "x=1,2")
    assert "[metrics." not in result.text
    values = set()
    for number in (1, 2):
        run = app.directory / "logs" / str(number)
        # joblib's processes number their own runs, in no order
        (x,) = re.findall(r"^x: (\d)$", (run / "metadata" / "config.yaml").read_text(), re.MULTILINE)
        assert_trained(run, x=int(x))
        values.add(x)
    assert values == {"1", "2"}


@pytest.mark.once
@pytest.mark.parametrize("kill", ["0-step0", "1-step1", "2-evaluated", "2-saved", "3-saved"])
def test_a_killed_run_continues(app: App, kill: str) -> None:
    training(app)
    assert app.run(LOGGING, f"kill={kill}").status == -signal.SIGKILL
    run = app.directory / "logs" / "1"
    for path in ("train", "eval/test"):
        assert kill == "0-step0" or lines(run, path)  # they exist and are valid
    assert app.run(LOGGING, IN_RUN_1, f"kill={kill}").status == 0
    assert_trained(run, starts=2)


def test_a_job_script_run_again(app: App) -> None:
    training(app)
    app.run("-m", LOGGING, "hydra/launcher=local", "kill=2-evaluated", "how=exit")
    run = app.directory / "logs" / "1"
    assert info(run)["status"] == "FAILED"
    assert app.call("bash", str(run / "script.sh")).status == 0
    assert_trained(run, starts=2)
    assert app.call("bash", str(run / "script.sh")).status == 0  # the training had finished
    assert_trained(run, starts=3)
    (run / "artifacts" / "epoch").unlink()  # by mistake: earlier metrics are not lost
    assert app.call("bash", str(run / "script.sh")).status == 0
    assert_trained(run, starts=4)
    superseded = (run / "metrics" / ".superseded" / "train.jsonl").read_text().splitlines()
    assert sum("loss" in line for line in superseded) == 2 + 8


@pytest.mark.once
def test_a_requeued_run_continues(slurm: Cluster) -> None:
    """One run is requeued by the scheduler; another is cancelled and submitted again by hand."""
    app = training(slurm.app("metrics-requeue"))
    app.sweep("hydra/launcher=slurm", LOGGING, "kill=1-step1,2-evaluated", "how=wait")
    runs = [app.directory / "logs" / number for number in ("1", "2")]
    slurm.wait_for(lambda: all((run / "artifacts" / "killed").exists() for run in runs))
    requeued, cancelled = slurm.job_ids(app)
    slurm.cancel([cancelled])
    subprocess.run(["scontrol", "requeue", requeued], check=True)
    assert slurm.wait([cancelled]) == ["CANCELLED"]
    assert app.call("sbatch", "--wait", str(runs[1] / "script.sh")).status == 0
    assert_trained(runs[1], starts=2)
    subprocess.run(["scontrol", "update", f"jobid={requeued}", "starttime=now"], check=False, capture_output=True)
    assert slurm.wait([requeued]) == ["COMPLETED"]
    assert_trained(runs[0], starts=2)


@pytest.mark.once
def test_only_the_first_of_many_tasks_writes(slurm: Cluster) -> None:
    app = training(slurm.app("metrics-tasks"))
    assert slurm.sweep(app, LOGGING, "hydra.launcher.tasks_per_node=2") == ["COMPLETED"]
    run = app.directory / "logs" / "1"
    assert_trained(run)
    assert (run / "log.stdout").read_text() == "trained\n" * 2


@pytest.mark.once
def test_an_invalid_metric_or_a_full_disk_stops_nothing(app: App) -> None:
    program = """
import logging, os, resource, signal
import hydra
import numpy as np

class Odd:
    def item(self): raise RuntimeError("odd")
    def __str__(self): raise RuntimeError("odd")
    __repr__ = __str__

@hydra.main(version_base=None)
def main(config):
    train = logging.getLogger("metrics.train")
    train.info("text %s", 3)
    train.info("text %s and %s", 3)
    train.info(3.5)
    train.info({"loss": 0.5, "image": np.zeros((2, 2)), 7: 1.0})
    train.info({Odd(): 1})
    train.info(Odd())
    for i in range(3):
        train.info({"image": Odd(), "epoch": i})
    logging.getLogger("metrics.\\0").info({"a": 1})
    logging.getLogger("metrics." + "n" * 300).info({"a": 1})
    logging.getLogger("metrics.full").info({"a": 1})
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write over the limit then fails, as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))
    for i in range(4):
        logging.getLogger("metrics.full").info({"a": 1, "b": i})
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    logging.getLogger("metrics.full").info({"a": 2})
    print("trained")

if __name__ == "__main__":
    main()
"""
    app.write("main.py", program)
    result = app.run(LOGGING, "hydra/job_logging=stdout")  # a log file would hit the limit as well
    assert result.status == 0, result.text
    assert "Logger 'metrics.train' of metrics: 'text 3' is not a dict" in result.stdout
    assert result.stdout.startswith("text 3\n")
    assert result.stdout.count("'image' is left out") == 1
    assert "can only convert an array of size 1" in result.stdout
    assert "'7' is left out: keys must be strings, got int" in result.stdout
    run = app.directory / "logs" / "1"
    assert lines(run, "train") == [{"loss": 0.5}, *({"epoch": i} for i in range(3))]
    assert lines(run, "full") == [{"a": 1}, {"a": 2}]
    assert re.search(
        r"metrics.full' of metrics: a record was lost: Cannot write \S+/full.json: File too large", result.text
    )
    assert "metrics.full' of metrics: 4 records could not be written" in result.stdout
    assert "File name too long" in result.stdout
    assert "not all arguments converted" in result.stdout or "not enough arguments" in result.stdout
    assert (result.stderr, "Traceback" in result.stdout) == ("", False)


# One attempt


def test_values(directory: Path) -> None:
    values: dict[str, Any] = {
        "float32": np.float32(0.5),
        "float64": np.float64(0.1),
        "longdouble": np.longdouble(2.5),
        "int64": np.int64(2**62),
        "bool": np.bool_(True),
        "array": np.array(3),
        "one": np.array([4.0]),
        "fraction": Fraction(1, 4),
        "text": 'é\n"',
        "none": None,
        "truth": False,
        "big": 10**30,
        "inf": math.inf,
        "minus": -math.inf,
        np.str_("name"): 1,
    }
    metric("metrics.train", values, {"loss": math.nan}, {})
    first, second, third = map(json.loads, (directory / "train.json").read_text().splitlines())
    expected = {"float32": 0.5, "float64": 0.1, "longdouble": 2.5, "int64": 2**62, "bool": True, "array": 3, "one": 4.0}
    expected |= {"fraction": 0.25} | {key: values[key] for key in ("text", "none", "truth", "big", "inf", "minus")}
    assert first == expected | {"name": 1}
    assert [type(first[key]) for key in ("bool", "int64", "float32")] == [bool, int, float]
    assert math.isnan(second["loss"])
    assert third == {}


def test_lines_are_those_of_json(directory: Path) -> None:
    record = {
        "a": 1.5,
        "é\u2028": '\ud800"',
        "none": None,
        "inf": -math.inf,
        "nan": math.nan,
        "big": 10**30,
        "t": True,
    }
    metric("metrics.train", record, record)
    assert (directory / "train.json").read_text() == 2 * f"{json.dumps(record)}\n"


def test_filters(directory: Path) -> None:
    """Filters of the application apply, whether they are added to the logger or to the handler."""
    logger = logging.getLogger("metrics.filtered")
    logger.addFilter(lambda record: record.msg != {"step": 1})
    (handler,) = (one for one in logging.getLogger("metrics").handlers if isinstance(one, MetricsHandler))
    handler.addFilter(lambda record: record.msg != {"step": 2})
    metric("metrics.filtered", *({"step": step} for step in range(4)))
    assert lines(directory.parent, "filtered") == [{"step": 0}, {"step": 3}]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("metrics", "metrics"),
        ("metrics.", "metrics"),
        ("metrics.a.b", "a/b"),
        ("metrics.a/b", "a/b"),
        ("metrics.../x", "x"),
        ("metrics./etc/x", "etc/x"),
        ("metrics.a..b", "a/b"),
        ("metrics.été 1", "été 1"),
    ],
)
def test_names(directory: Path, name: str, file: str) -> None:
    metric(name, {"x": 1})
    assert json.loads((directory / f"{file}.json").read_text()) == {"x": 1}
    assert [path for path in directory.rglob("*.json")] == [directory / f"{file}.json"]
    assert last_metrics(str(directory.parent), FileCache(None)) == {prefix_of(file_of(name)) + "x": 1}


def test_the_logger_is_restored(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("metrics")
    logger.setLevel(logging.ERROR)
    start_metrics(tmp_path / "1")
    start_metrics(tmp_path / "2")  # the end of the first attempt was not reported
    metric("metrics.train", {"x": 2})
    stop_metrics()
    metric("metrics.train", {"x": 3})
    assert not (tmp_path / "1").exists()
    assert (tmp_path / "2" / "train.json").read_text() == '{"x": 2}\n'
    assert (logger.level, logger.propagate, logger.handlers) == (logging.ERROR, True, [])
    logger.setLevel(logging.NOTSET)


def test_threads_and_forks(directory: Path) -> None:
    """Also in a second attempt, in which each part logs the same lines again."""

    def work(part: int) -> None:
        for i in range(200):
            metric("metrics.train", {f"key{part}": i, "text": "x" * 500, "epoch": 0})

    def all_parts() -> None:
        children = []
        for part in range(3):
            if (child := os.fork()) == 0:
                work(part)
                os._exit(0)
            children.append(child)
        threads = [threading.Thread(target=work, args=(part,)) for part in range(3, 6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for child in children:
            assert os.waitpid(child, 0)[1] == 0

    for _ in range(2):
        all_parts()
        records = [json.loads(line) for line in (directory / "train.json").read_text().splitlines()]
        assert len(records) == 6 * 200
        for part in range(6):
            assert [record[f"key{part}"] for record in records if f"key{part}" in record] == list(range(200))
        keys = yaml.safe_load((directory / ".keys" / "metrics.yaml").read_text())
        assert keys == dict.fromkeys(["train.epoch", "train.text", *(f"train.key{part}" for part in range(6))], "")
        restart(directory)


def test_processes_that_begin_while_others_write(directory: Path) -> None:
    """A line that is being written is not taken for an incomplete one."""
    text = "x" * 1_000_000
    for _ in range(20):
        children = []
        for _ in range(4):
            if (child := os.fork()) == 0:
                metric("metrics.train", {"text": text}, {"text": text})
                os._exit(0)
            children.append(child)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        written = (directory / "train.json").read_bytes()
        assert written.count(b"\n") == written.count(b"{") == 8
        (directory / "train.json").unlink()


def test_many_files_and_one_that_an_editor_replaces(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlxp_core.metrics.file._CHECK_INTERVAL_S", 0)
    for i in range(2):
        for j in range(200):
            metric(f"metrics.layer{j}", {"norm": i})
    assert len(list(Path("/proc/self/fd").iterdir())) < 150
    assert {path.read_text() for path in directory.glob("layer*.json")} == {'{"norm": 0}\n{"norm": 1}\n'}
    metric("metrics.train", {"x": 1})
    new = directory / "train.new"
    new.write_text('{"x": 0}')
    new.replace(directory / "train.json")
    metric("metrics.train", {"x": 2})
    assert numbers(directory, "x") == [0, 2]


# Several attempts


def test_earlier_lines_are_replaced_from_an_epoch_on(directory: Path) -> None:
    metric("metrics.train", *({"epoch": epoch, "attempt": 1} for epoch in range(5)), {"note": "stays"})
    restart(directory)
    metric("metrics.train", {"note": "too"}, *({"epoch": epoch, "attempt": 2} for epoch in (3, 3, 4)))
    assert numbers(directory) == [0, 1, 2, None, None, 3, 3, 4]
    assert numbers(directory, "attempt") == [1, 1, 1, None, None, 2, 2, 2]
    metric("metrics.train", {"best": True, "epoch": 1})  # goes back within the same attempt
    assert numbers(directory) == [0, 1, 2, None, None, 3, 3, 4, 1]
    superseded = (directory / ".superseded" / "train.jsonl").read_text()
    assert superseded == '{"epoch": 3, "attempt": 1}\n{"epoch": 4, "attempt": 1}\n'


def test_steps(directory: Path) -> None:
    metric("metrics.train", *({"step": step} for step in range(4)), {"epoch": 0}, {"step": 4}, {"step": True})
    restart(directory)
    metric("metrics.train", {"step": np.int64(2)}, {"step": 3}, {"epoch": 0})  # replaces the epoch of the first attempt
    assert numbers(directory, "step") == [0, 1, True, 2, 3, None]
    restart(directory)
    metric("metrics.train", {"epoch": 1, "step": 4}, {"epoch": 1, "step": 5}, {"epoch": 1, "mean": 0})
    restart(directory)
    metric("metrics.train", {"epoch": 1, "step": 5})  # from a checkpoint within an epoch: earlier steps stay
    assert numbers(directory, "step") == [0, 1, True, 2, 3, None, 4, 5]


@pytest.mark.parametrize("record", [{"epoch": 1}, {"x": 1}])
@pytest.mark.parametrize("torn", [b'{"epoch": 1, "lo', b"\0\0\0", b'{"epoch": 0}'])
def test_a_torn_line_swallows_nothing(directory: Path, torn: bytes, record: dict[str, int]) -> None:
    (directory / "train.json").write_bytes(b'{"epoch": 0}\n' + torn)
    restart(directory)
    metric("metrics.train", record)
    assert numbers(directory) == [0, *([0] if b"0}" in torn else []), record.get("epoch")]


def test_lines_that_cannot_be_moved_stay(directory: Path, caplog: pytest.LogCaptureFixture) -> None:
    metric("metrics.train", {"epoch": 0})
    (directory / ".superseded").write_text("in the way")
    restart(directory)
    metric("metrics.train", {"epoch": 0, "x": 1}, {"epoch": 1})
    assert numbers(directory) == [0, 0, 1]
    assert "Lines of an earlier attempt remain next to the new ones" in caplog.text


# The example


@pytest.mark.once
def test_the_example_continues_after_being_killed(tmp_path: Path) -> None:
    """It is killed several times, at arbitrary moments."""
    app, epochs = App(tmp_path), 100  # many more than pass while this process waits for a processor
    main = REPOSITORY / "example_app" / "main.py"
    command = [LOGGING, IN_RUN_1, f"epochs={epochs}", "model=linear"]
    run = tmp_path / "logs" / "1"
    train = run / "metrics" / "train.json"
    for epoch in (3, 11, 20):
        process = app.start(sys.executable, str(main), *command)
        while not train.exists() or train.read_text().count("\n") <= epoch:
            time.sleep(0.001)
            assert process.poll() is None
        process.kill()
        process.communicate()
        assert pickle.loads((run / "artifacts" / "Checkpoint" / "last_ckpt.pkl").read_bytes())["epoch"] >= epoch - 2
    result = app.run(*command, program=(str(main),))
    assert result.status == 0, result.text
    assert re.search(r"Starting from epoch: [1-9]\d", result.stdout)
    for name in ("train", "test"):
        assert [record["epoch"] for record in lines(run, name)] == list(range(epochs))
    whole = app.run(LOGGING, f"epochs={epochs}", "model=linear", program=(str(main),))
    assert whole.status == 0
    assert train.read_text() == (tmp_path / "logs" / "2" / "metrics" / "train.json").read_text()
