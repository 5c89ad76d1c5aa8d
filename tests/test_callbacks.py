"""mlxp_logging numbers the runs of every launcher, and keeps their records correct."""

from __future__ import annotations

import getpass
import socket
import sys
from datetime import datetime, timezone
from pathlib import Path

import hydra
import pytest
import yaml

from tests.programs import LOGGING, PROBE, App, info

pytestmark = pytest.mark.hydra


def logs(app: App) -> list[str]:
    """Return the numbers in logs/."""
    return sorted((path.name for path in (app.directory / "logs").iterdir() if path.name.isdecimal()), key=int)


def test_plain_run(app: App) -> None:
    before = datetime.now(timezone.utc).replace(microsecond=0)
    assert app.run(LOGGING, "x=3").status == 0
    run = app.directory / "logs" / "1"
    record = info(run)
    times = [datetime.fromisoformat(record.pop(key)) for key in ("start_time", "end_time")]
    assert before <= times[0] <= times[1] <= datetime.now(timezone.utc)
    process_id = record.pop("process_id")
    (start,) = record.pop("starts")
    assert (start["process_id"], start["hostname"], start["job_id"]) == (process_id, socket.gethostname(), None)
    assert datetime.fromisoformat(start["end_time"]) == times[1]
    assert record == {
        "status": "COMPLETE",
        "hostname": socket.gethostname(),
        "user": getpass.getuser(),
        "executable": sys.executable,
        "attempts": 1,
        "current_file_path": str(app.directory / "main.py"),
        "work_dir": str(app.directory),
        "log_id": 1,
        "log_dir": str(run),
        "scheduler": {"name": None, "scheduler_job_id": None},
        "command": [sys.executable, "main.py"],
    }
    assert sorted(path.name for path in run.iterdir()) == ["artifacts", "main.log", "metadata", "metrics", "seen.json"]
    assert yaml.safe_load((run / "metadata" / "config.yaml").read_text()) == {"x": 3, "action": None}
    assert not (app.directory / "outputs").exists()


@pytest.mark.parametrize("launcher", ["basic", "local"])
def test_sweeps_continue_the_numbering(app: App, launcher: str) -> None:
    app.run(LOGGING)
    app.sweep(LOGGING, f"hydra/launcher={launcher}", "x=1,2,3")
    app.sweep(LOGGING, f"hydra/launcher={launcher}", "x=4,5", "hydra.sweeper.max_batch_size=1")
    assert logs(app) == ["1", "2", "3", "4", "5", "6"]
    runs = [app.directory / "logs" / number for number in logs(app)]
    overrides = [yaml.safe_load((run / "metadata" / "overrides.yaml").read_text()) for run in runs]
    assert overrides == [[], ["x=1"], ["x=2"], ["x=3"], ["x=4"], ["x=5"]]
    assert [info(run)["status"] for run in runs] == ["COMPLETE"] * 6
    assert len(list((app.directory / "logs" / "sweeps").glob("*/multirun.yaml"))) == 2
    assert not (app.directory / "multirun").exists()


def test_options_of_the_callback(app: App) -> None:
    arguments = (LOGGING, "hydra.callbacks.mlxp_logging.parent_log_dir='../my \\'logs'")
    app.run(*arguments)
    app.sweep(*arguments, "hydra/launcher=local", "x=1,2")
    root = app.directory.parent / "my 'logs"
    assert sorted(path.name for path in root.iterdir() if path.name.isdecimal()) == ["1", "2", "3"]


def test_chosen_in_the_configuration(app: App) -> None:
    app.write(
        "conf/config.yaml",
        "defaults: [_self_, {override hydra/launcher: local}, {override hydra/callbacks: mlxp_logging}]\n"
        "x: 1\naction: null\nhydra: {launcher: {n_jobs: 2}}\n",
    )
    app.sweep("x=1,2")
    assert logs(app) == ["1", "2"]


@pytest.mark.parametrize("mode", [(), ("-m",), ("-m", "hydra/launcher=local")])
def test_forced_log_id(app: App, mode: tuple[str, ...]) -> None:
    app.run(LOGGING)
    for number in (1, 7):
        result = app.run(*mode, LOGGING, f"hydra.callbacks.mlxp_logging.forced_log_id={number}", f"x={number}")
        assert result.status == 0, result.text
    assert logs(app) == ["1", "7"]
    assert [run["config"]["x"] for run in app.seen()] == [1, 7]
    assert [info(run)["attempts"] for run in app.runs()] == [2, 1]
    app.run(LOGGING)
    assert logs(app) == ["1", "7", "8"]


@pytest.mark.parametrize("launcher", ["basic", "local"])
def test_forced_log_id_in_a_sweep(app: App, launcher: str) -> None:
    result = app.run(
        "-m", LOGGING, f"hydra/launcher={launcher}", "hydra.callbacks.mlxp_logging.forced_log_id=3", "x=1,2"
    )
    assert result.status == 1
    assert "names the directory of one run, but this sweep has several" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(app.runs()) <= (1 if launcher == "basic" else 0)


@pytest.mark.parametrize("mode", [(), ("-m",)])
@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("forced_log_id=0", "forced_log_id must be a positive integer, or -1 for the next free number, got 0."),
        ("forced_log_id=-2", "forced_log_id must be a positive integer, or -1 for the next free number, got -2."),
        ("parent_log_dir=main.py/logs", "main.py is not a directory"),
    ],
)
def test_bad_options_stop_hydra(app: App, option: str, message: str, mode: tuple[str, ...]) -> None:
    result = app.run(*mode, LOGGING, f"hydra.callbacks.mlxp_logging.{option}")
    assert result.status == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert app.runs() == []


@pytest.mark.parametrize("mode", [(), ("-m",)])
@pytest.mark.parametrize(
    ("action", "error"),
    [
        ("raise", {"type": "ValueError", "message": "told to fail"}),
        ("exit4", {"type": "Exit", "message": "the program exited during the run, by sys.exit or an interrupt"}),
    ],
)
def test_failed_runs_are_recorded(app: App, action: str, error: dict[str, str], mode: tuple[str, ...]) -> None:
    assert app.run(*mode, LOGGING, f"action={action}").status != 0
    record = info(app.directory / "logs" / "1")
    assert (record["status"], record["error"]) == ("FAILED", error)


@pytest.mark.parametrize("mode", [(), ("-m",), ("-m", "hydra/launcher=local")])
def test_a_forked_process_leaves_the_record_alone(app: App, mode: tuple[str, ...]) -> None:
    """The end of a child process, by sys.exit, is not the end of the run."""
    forked = """
    child = os.fork()
    if not child:
        sys.exit(3)
    os.waitpid(child, 0)
    record = Path(seen["output_dir"], "metadata", "info.yaml").read_text()
    Path(seen["output_dir"], "during.yaml").write_text(record)
    action ="""
    app.write("main.py", PROBE.replace("\n    action =", forked, 1))
    result = app.run(*mode, LOGGING)
    assert result.status == 0, result.text
    run = app.directory / "logs" / "1"
    during = yaml.safe_load((run / "during.yaml").read_text())
    assert (during["status"], "error" in during) == ("RUNNING", False)
    record = info(run)
    assert (record["status"], "error" in record, record["attempts"]) == ("COMPLETE", False, 1)


def test_another_launcher_in_other_processes(app: App) -> None:
    """A launcher that pickles the callbacks for its own processes."""
    pytest.importorskip("hydra_plugins.hydra_joblib_launcher", reason="hydra-joblib-launcher is not installed")
    app.sweep(LOGGING, "hydra/launcher=joblib", "x=1,2")
    assert logs(app) == ["1", "2"]


def test_run_directories_are_ignored_by_git(app: App) -> None:
    assert app.call("git", "init", "-q").status == 0
    app.call("git", "add", "-A")
    app.run(LOGGING)
    app.sweep(LOGGING, "hydra/launcher=local", "x=1,2")
    status = app.call("git", "status", "--porcelain").stdout
    assert [line for line in status.splitlines() if line.startswith("??")] == []


def test_a_record_is_read_back(tmp_path: Path) -> None:
    from mlxp_core.runs.info import read_info, write_info

    path = tmp_path / "new" / "info.yaml"
    assert read_info(path) == {}
    write_info(path, {"a": "é\n", "b": None})
    assert read_info(path) == {"a": "é\n", "b": None}


def test_no_warnings(app: App) -> None:
    """Hydra 1.4 warns about callbacks that the application does not list, but not about ours."""
    new = not hydra.__version__.startswith("1.3")
    program = PROBE.replace("version_base=None, ", "") if new else PROBE
    app.write("main.py", program)
    for arguments in ([], ["x=1,2", "-m"], ["x=1,2", "hydra/launcher=local", "-m"]):
        result = app.run(LOGGING, *arguments)
        assert (result.status, result.stderr.replace("a line on stderr\n", "")) == (0, "")
    for run in app.runs()[-2:]:
        assert (run / "log.stderr").read_text() == "a line on stderr\n"


@pytest.mark.skipif(hydra.__version__.startswith("1.3"), reason="execution_whitelist came with Hydra 1.4")
def test_an_application_that_lists_its_targets(app: App) -> None:
    listing = 'config_name="config", execution_whitelist=["torch.*"'
    app.write("main.py", PROBE.replace('config_name="config"', f"{listing}]"))
    result = app.run("-m", "x=1", "hydra/launcher=local")
    assert result.status == 1
    assert "Add 'mlxp_core.callbacks.*'" in result.stderr
    app.write("main.py", PROBE.replace('config_name="config"', f'{listing}, "mlxp_core.callbacks.*"]'))
    app.sweep("x=1", "hydra/launcher=local", LOGGING)
    assert logs(app) == ["1"]
