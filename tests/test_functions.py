"""Applications that no command line starts: notebooks, hydra-zen's launch. Their jobs run the pickled function."""

from __future__ import annotations

import os
import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from hydra.core.utils import JobReturn
from hydra_zen import launch
from omegaconf import DictConfig, OmegaConf

from tests.clusters import Cluster
from tests.programs import App, Result, info

pytestmark = pytest.mark.hydra

# Everything that the function needs is defined in __main__, as in a notebook: a closure, a lambda, classes, a schema
NOTEBOOK = """
import sys
import threading
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from hydra.core.hydra_config import HydraConfig
from hydra_zen import launch

@dataclass
class Config:
    x: int = 1
    action: str = "return"

@dataclass
class Product:
    number: int

class MyError(Exception):
    pass

class HoldingError(Exception):
    def __init__(self, message):
        super().__init__(message)
        self.lock = threading.Lock()

def closure(factor):
    times = lambda x: Product(x * factor)

    def task(config):
        print("a line on stdout")
        print("a line on stderr", file=sys.stderr)
        Path(HydraConfig.get().runtime.output_dir, "seen.json").write_text(str(sys.flags.optimize))
        if config.action == "fail":
            raise MyError("told to fail")
        if config.action == "fail holding":
            raise HoldingError("told to fail")
        if config.action == "generate":
            return (number for number in range(3))
        return times(config.x)

    return task

task = closure(10)
if "unpicklable" in sys.argv:
    sys.argv.remove("unpicklable")
    lock = threading.Lock()
    task = lambda config: lock
base = {"version_base": None} if version("hydra-core") < "1.4" else {}
for time in range(2 if "twice" in sys.argv else 1):
    overrides = [word for word in sys.argv[1:] if word != "twice"]
    try:
        (jobs,) = launch(Config, task, overrides=overrides, multirun=True, **base)
    except Exception as error:
        sys.exit(f"caught {error!r}")
    for job in jobs:
        print("RETURN", job.return_value.number if isinstance(job.return_value, Product) else job.return_value)
"""
STARTS: dict[str, tuple[str, ...]] = {
    "file": ("python", "notebook.py"),
    "command": ("python", "-O", "-c", NOTEBOOK),
    "stdin": ("bash", "-c", 'python - "$@" < notebook.py', "bash"),
}


def run_notebook(app: App, *arguments: str, start: str = "file") -> Result:
    app.write("notebook.py", NOTEBOOK)
    path = {"PATH": f"{Path(app.python).parent}:/usr/local/bin:/usr/bin:/bin"}
    return app.call(*STARTS[start], *arguments, env=path)


def values(result: Result) -> list[str]:
    """Return what the runs returned to the program."""
    assert result.status == 0, result.text
    return [line.split()[1] for line in result.stdout.splitlines() if line.startswith("RETURN")]


def check_runs(app: App, job_ids: list[str]) -> None:
    """Check the content of the run directories, and that a script repeats its run."""
    runs = app.runs()
    assert len(runs) == len(job_ids)
    for run, job_id in zip(runs, job_ids, strict=True):
        record = info(run)
        assert record["status"] == "COMPLETE"
        assert record["exit_status"] == 0
        assert record["scheduler"]["scheduler_job_id"] == job_id
        assert record["log_dir"] == str(run)
        assert "a line on stdout" in (run / "log.stdout").read_text()
        assert "a line on stderr" in (run / "log.stderr").read_text()
        assert OmegaConf.load(info_directory(run) / "config.yaml").action == "return"
    (runs[0] / "seen.json").unlink()
    by_hand = app.call("bash", str(runs[0] / "script.sh"))
    assert by_hand.status == 0, by_hand.text
    assert (runs[0] / "seen.json").exists()
    assert info(runs[0])["status"] == "COMPLETE"
    assert info(runs[0])["scheduler"]["scheduler_job_id"] is None


def info_directory(run: Path) -> Path:
    return next(path.parent for path in run.rglob("info.yaml"))


@pytest.mark.parametrize("start", STARTS)
def test_values(app: App, start: str) -> None:
    """For each way to start the program, jobs run its function and return its values."""
    result = run_notebook(app, "x=1,2", "hydra/launcher=local", start=start)
    assert values(result) == ["10", "20"]
    assert "jobs run the pickled task function" in result.stdout
    assert {(run / "seen.json").read_text() for run in app.runs()} == {"1" if start == "command" else "0"}
    check_runs(app, [info(run)["scheduler"]["scheduler_job_id"] for run in app.runs()])


def test_values_on_cluster(scheduler: Cluster, request: pytest.FixtureRequest) -> None:
    app = scheduler.app(request.node.name)
    wait = ("hydra.launcher.wait=true", "hydra.launcher.poll_interval_s=0.5")
    result = run_notebook(
        app, "x=1,2", f"hydra/launcher={scheduler.launcher}", *wait, "hydra/callbacks=mlxp_logging", start="stdin"
    )
    assert values(result) == ["10", "20"]
    assert [run.relative_to(app.directory) for run in app.runs()] == [Path("logs/1"), Path("logs/2")]
    check_runs(app, scheduler.job_ids(app))


def test_twice_with_numbers(app: App) -> None:
    """A session launches twice: its definitions are unchanged, and the numbers continue."""
    result = run_notebook(app, "twice", "x=1,2", "hydra/launcher=local", "hydra/callbacks=mlxp_logging")
    assert values(result) == ["10", "20"] * 2
    assert [run.relative_to(app.directory) for run in app.runs()] == [Path(f"logs/{n}") for n in (1, 2, 3, 4)]
    assert [info(run)["log_id"] for run in app.runs()] == [1, 2, 3, 4]


def test_failure(app: App) -> None:
    """The exception is raised with its own type, and the job fails."""
    result = run_notebook(app, "x=1", "action=fail", "hydra/launcher=local")
    assert result.status == 1
    assert "caught MyError('told to fail')" in result.stderr
    (run,) = app.runs()
    assert info(run)["status"] == "FAILED"
    assert info(run)["error"] == {"type": "MyError", "message": "told to fail"}
    assert info(run)["exit_status"] == 1
    # The file's name is not in pickled code (cloudpickle 3.1.3)
    assert re.search(r"line \d+, in task\n", (run / "log.stderr").read_text())
    assert app.call("bash", str(run / "script.sh")).status == 1


def test_results_that_cannot_be_pickled(app: App) -> None:
    """A value or exception that cannot be pickled does not change the status of the run."""
    result = run_notebook(app, "action=generate", "hydra/launcher=local", "hydra/callbacks=mlxp_logging")
    assert values(result) == ["None"]
    assert info(app.directory / "logs" / "1")["status"] == "COMPLETE"
    assert "returned a generator, which cannot be pickled" in (app.directory / "logs/1/log.stdout").read_text()
    result = run_notebook(app, "action='fail holding'", "hydra/launcher=local", "hydra/callbacks=mlxp_logging")
    # Hydra 1.4 raises an error of its own
    assert re.search(r"caught (RunFailedError|RuntimeError)\('.*HoldingError: told to fail'\)", result.stderr)
    assert info(app.directory / "logs" / "2")["error"] == {"type": "HoldingError", "message": "told to fail"}


def test_never(app: App) -> None:
    result = run_notebook(app, "x=1", "hydra/launcher=local", "hydra.launcher.submit_function=never")
    assert result.status == 1
    assert "cannot be started again in a job: @hydra.main did not read" in result.stderr
    assert [path.name for path in app.directory.iterdir() if path.name not in ("main.py", "conf")] == ["notebook.py"]


@pytest.mark.parametrize("callbacks", ["", "mlxp_logging"])
def test_cannot_be_pickled(slurm: Cluster, callbacks: str, request: pytest.FixtureRequest) -> None:
    """The message is one sentence, and no file is left."""
    app = slurm.app(request.node.name)
    result = run_notebook(app, "unpicklable", "x=1,2", "hydra/launcher=slurm", f"hydra/callbacks=[{callbacks}]")
    assert result.status == 1
    assert "its function cannot be pickled (cannot pickle '_thread.lock' object). Put the function" in result.stderr
    assert not list(app.directory.rglob("launch-*"))
    assert not list(app.directory.rglob("script.sh"))
    assert not [path for path in app.directory.rglob("*") if path.name.isdecimal()]


def task(config: DictConfig) -> Any:
    """The job imports this function by its name."""
    return config.x * 10


@pytest.mark.parametrize("chdir", ["true", "false"])
def test_a_job_return_is_that_of_the_basic_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chdir: str
) -> None:
    """A JobReturn has the same content as that of Hydra's basic launcher."""
    monkeypatch.chdir(tmp_path)

    def returns(launcher: str) -> list[JobReturn]:
        fixed = [f"hydra/launcher={launcher}", "hydra.sweep.dir=sweep", f"hydra.job.chdir={chdir}", "x=3,4", "+y='a b'"]
        # Hydra 1.4 accepts neither a name that is stored twice nor version_base
        more: dict[str, Any] = {"config_name": f"{launcher}_{chdir}", "with_log_configuration": False}
        if version("hydra-core") < "1.4":
            more["version_base"] = None
        (jobs,) = launch({"x": 1}, task, overrides=fixed, multirun=True, **more)
        shutil.rmtree("sweep")
        found: list[JobReturn] = list(jobs)
        return found

    basic, ours = returns("basic"), returns("local")
    assert [job.return_value for job in ours] == [30, 40]
    for own, mine in zip(basic, ours, strict=True):
        for name in ("cfg", "overrides", "task_name", "status", "return_value"):
            assert getattr(mine, name) == getattr(own, name), name
        assert mine.working_dir == os.path.abspath(own.working_dir or "")
        assert plain_hydra(mine) == plain_hydra(own)


def plain_hydra(job: JobReturn) -> dict[str, Any]:
    """Return a job's hydra node without the parts that have to differ."""
    assert job.hydra_cfg is not None
    plain: Any = OmegaConf.to_container(job.hydra_cfg, resolve=False)
    hydra: dict[str, Any] = plain["hydra"]
    for node, key in (
        ("runtime", "choices"),
        ("job", "id"),
        ("job", "config_name"),
        ("callbacks", "mlxp_job"),
        ("run", "dir"),
    ):
        hydra[node].pop(key, None)
    hydra.pop("launcher")
    hydra["overrides"]["hydra"].pop(0)
    return hydra
