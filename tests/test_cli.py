"""The commands that show runs, with runs on this machine."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pexpect
import pytest
import yaml

from mlxp_core.runs import reader as runs_module
from mlxp_core.runs.reader import RunReader
from mlxp_core.runs.starts import this_process
from tests.programs import PROBE, App, info
from tests.support.processes import read_until, wait_until

pytestmark = pytest.mark.once
MLXP = str(Path(sys.executable).with_name("mlxp"))
SWEEP = ("hydra/launcher=local", "hydra/callbacks=mlxp_logging")


def mlxp(app: App, *arguments: str, status: int = 0) -> str:
    """Run the command in the application's directory; return what it printed."""
    result = app.call(MLXP, *arguments)
    assert result.status == status, result.text
    assert "Traceback" not in result.stderr
    return result.stdout if status == 0 else result.text


def listed(app: App, *arguments: str) -> list[dict[str, Any]]:
    """Return what `mlxp ls --json` prints."""
    found: list[dict[str, Any]] = json.loads(mlxp(app, "ls", "--json", *arguments))
    return found


def statuses(app: App, *arguments: str) -> dict[str, str]:
    return {row["run"]: row["status"] for row in listed(app, *arguments)}


def change(run: Path, **values: Any) -> None:
    """Change values in a run's record."""
    path = run / "metadata" / "info.yaml"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **values}, sort_keys=False))


def test_list_show_log(app: App) -> None:
    app.write("conf/config.yaml", "x: 1\naction: null\nlong: null\noptimizer: {lr: 0.1, name: sgd}\n")
    result = app.run("-m", "x=2,10", "action=null,raise", f"long={'y' * 150}", "optimizer.lr=1e-2", *SWEEP)
    assert result.status == 1
    for number, value in enumerate([0.5, 0.25, float("nan"), 0.75], start=1):
        lines = [json.dumps({"loss": 1.5, "step": 1}), json.dumps({"loss": value, "step": 2}), '{"loss": 3']
        app.write(f"logs/{number}/metrics/train.json", "\n".join(lines))

    text = mlxp(app, "ls")
    head, columns, *rows = text.splitlines()
    assert head == f"All runs: long={'y' * 150} optimizer.lr=0.01"
    assert columns.split() == ["run", "status", "scheduler", "started", "elapsed", "x", "action", "train.loss", "step"]
    assert len(rows) == 4
    assert "FAILED" in rows[1]
    assert rows[1].split()[-4:] == ["2", "raise", "0.25", "2"]
    assert "\x1b" not in text

    assert statuses(app) == {"1": "COMPLETE", "2": "FAILED", "3": "COMPLETE", "4": "FAILED"}
    assert statuses(app, "--status", "failed,TIMEOUT") == {"2": "FAILED", "4": "FAILED"}
    assert list(statuses(app, "--where", "x>=10 and optimizer.name==sgd")) == ["3", "4"]
    assert list(statuses(app, "--where", "train.loss<0.6")) == ["1", "2"]
    assert list(statuses(app, "--sort", "-train.loss")) == ["4", "1", "2", "3"]
    assert list(statuses(app, "--sort", "x", "--where", "action==null")) == ["1", "3"]
    assert mlxp(app, "ls", "--columns", "run,optimizer.lr,x,train.loss").splitlines()[3].split() == (
        ["3", "0.01", "10", "nan"]
    )
    row = listed(app)[1]
    assert row["reason"] == "ValueError: told to fail"
    assert row["metrics"] == {"train.loss": 0.25, "train.step": 2}
    assert row["directory"] == str(app.directory / "logs" / "2")
    table = list(csv.DictReader(io.StringIO(mlxp(app, "ls", "--csv"))))
    assert [row["train.loss"] for row in table] == ["0.5", "0.25", "nan", "0.75"]
    assert mlxp(app, "ls", "--where", "x>100").splitlines()[-1] == "No matching runs."

    shown = mlxp(app, "show", "2")
    for part in ("is FAILED: ValueError: told to fail", "x=2 action=raise", "a line on stdout", "a line on stderr",
                 f"bash {app.directory}/logs/2/script.sh", "train.loss=0.25", "exit       1"):  # fmt: skip
        assert part in shown
    assert mlxp(app, "show", "1-3,2", "logs/1").count("of log.stdout:") == 3
    assert mlxp(app, "log", "3") == "a line on stdout\n"
    assert mlxp(app, "log", "--err", str(app.directory / "logs" / "3")) == "a line on stderr\n"
    assert mlxp(app, "log", "-f", "1") == "a line on stdout\n"
    assert "2 is FAILED" in mlxp(app, "log", "-f", "2", status=1)
    assert "0/4" not in mlxp(app, "watch", status=1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["ls", "--where", "x ! 3"], "  x ! 3\n    ^"),
        (["ls", "--where", "z==3"], "no run has 'z'"),
        (["ls", "--sort", "y"], "no run has 'y'"),
        (["ls", "--columns", "run,statos"], "did you mean status?"),
        (["ls", "--status", "FALED"], "did you mean FAILED?"),
        (["ls", "--json", "--csv"], "cannot be combined"),
        (["ls", "nowhere"], "No ./nowhere here. Run mlxp where you launched the runs"),
        (["ls", "conf"], "There are no runs in "),
        (["show", "7"], "There is no run 7 in logs; it has 1."),
        (["show", "5-9"], "There is no run 5-9 in logs"),
        (["show", "1,x"], "'1,x' is not a run"),
        (["show", "conf/"], "it has no info.yaml"),
        (["log", "1-3"], None),
        (
            ["ls", "--columns", "run,", "status"],
            "--columns ends with a comma (got 'run,'). Write the list without spaces",
        ),
        (["ls", "--status", "FAILED,", "TIMEOUT"], "--status ends with a comma"),
        (["status"], "Did you mean 'mlxp ls'?"),
        (["kill", "1"], "Did you mean 'mlxp cancel'?"),
        (["tail", "1"], "Did you mean 'mlxp log -f'?"),
        (["show"], "Missing argument"),
        (["log", "logs/none"], "'logs/none' is not a run"),
    ],
)
def test_wrong_use(tmp_path: Path, arguments: list[str], said: str | None) -> None:
    app = App(tmp_path).write_probe()
    make_run(tmp_path / "logs" / "1", status="COMPLETE", exit_status=0)
    if said is None:
        mlxp(app, *arguments)
        return
    text = mlxp(app, *arguments, status=2)
    assert said in text


def test_missing_run(tmp_path: Path) -> None:
    """The message lists the existing runs."""
    app = App(tmp_path)
    for number in (1, 3, 4):
        make_run(tmp_path / "logs" / str(number), status="COMPLETE", exit_status=0)
    for number in range(1, 101):
        make_run(tmp_path / "many" / str(2 * number), status="COMPLETE", exit_status=0)
    assert "There is no run 2 in logs; it has 1, 3-4." in mlxp(app, "show", "2", status=2)
    text = mlxp(app, "show", "1", "-d", "many", status=2)
    assert "it has 2, 4, 6, 8, 10, 12, ..., 190, 192, 194, 196, 198, 200." in text


def test_missing_directory(tmp_path: Path) -> None:
    """The message names Hydra's own directories if they contain runs."""
    app = App(tmp_path)
    (tmp_path / "outputs").mkdir()
    assert mlxp(app, "ls", status=2) == (
        "No ./logs here. Run mlxp where you launched the runs, or give their directory.\n"
    )
    make_run(tmp_path / "multirun" / "2026-11-23" / "03-31-43" / "0", status="COMPLETE", exit_status=0)
    for command in (["ls"], ["watch"], ["show", "1"], ["cancel", "--all"], ["resubmit", "--failed"]):
        text = mlxp(app, *command, status=2)
        assert text.endswith(" There are runs in ./multirun: try 'mlxp ls multirun'.\n")
    assert "There is no directory /nowhere." in mlxp(app, "ls", "/nowhere", status=2)


def make_run(path: Path, **values: Any) -> Path:
    """Make a run directory with a record, like that of a local run."""
    (path / "metadata").mkdir(parents=True)
    (path.parent / ".numbers").touch()
    record: dict[str, Any] = {
        "status": "STARTING",
        "start_time": "2026-11-23T03:31:43+00:00",
        "end_time": None,
        "hostname": os.uname().nodename,
        "process_id": None,
        "log_dir": str(path),
        "scheduler": {"name": "LocalScheduler", "scheduler_job_id": None},
    }
    record |= values
    if record["process_id"] is not None:
        record["starts"] = [{"id": "1-1", "job_id": None, **this_process(), "process_id": record["process_id"]}]
    (path / "metadata" / "info.yaml").write_text(yaml.safe_dump(record, sort_keys=False))
    (path / "metadata" / "config.yaml").write_text("x: 1\n")
    (path / "log.stdout").touch()
    return path


def test_unreadable_records(tmp_path: Path) -> None:
    app = App(tmp_path)
    logs = tmp_path / "logs"
    for number in range(1, 7):
        make_run(logs / str(number), status="COMPLETE", exit_status=0)
    files = [logs / str(number) / "metadata" / "info.yaml" for number in range(1, 7)]
    files[0].write_text("status: COMP")
    files[1].write_text("status: {")
    files[2].write_text("")
    files[3].unlink()
    files[4].write_bytes(b"\xff\xfe\x00")
    assert statuses(app) == {
        "1": "DAMAGED", "2": "DAMAGED", "3": "DAMAGED", "4": "UNKNOWN", "5": "DAMAGED", "6": "COMPLETE",
    }  # fmt: skip
    assert "info.yaml is damaged" in mlxp(app, "show", "2")
    assert "has no record" in mlxp(app, "show", "4")


def test_another_users_runs() -> None:
    """The runs are listed, and nothing is written in their directories."""
    if os.getuid() != 0:
        pytest.skip("needs another user")
    # Not in pytest's directory, which each pytest that starts closes to other users
    with TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        make_run(directory / "logs" / "1", status="COMPLETE", exit_status=0)
        make_run(directory / "logs" / "2").chmod(0o700)
        before = sorted(directory.rglob("*"))
        result = subprocess.run(
            [sys.executable, "-c", LS_AS_NOBODY, str(directory / "logs")], capture_output=True, text=True, check=False
        )
        assert '"status": "COMPLETE"' in result.stdout, result.stderr
        assert '"status": "UNKNOWN"' in result.stdout
        assert "Permission denied" in result.stdout
        assert sorted(directory.rglob("*")) == before


# The interpreter and this package may stand in root's home
LS_AS_NOBODY = """
import os, sys
from mlxp_core.cli import main
from mlxp_core.results import listing
from mlxp_core.status import local_processes, resolver
import mlxp_core.cli.exports, mlxp_core.cli.tables, mlxp_core.results.columns, difflib, psutil
os.setgroups([]); os.setgid(65534); os.setuid(65534)
sys.argv = ["mlxp", "ls", "--json", "--columns", "run,status,reason", sys.argv[1]]
main()
"""


def test_killed_processes(app: App) -> None:
    """The application of a local run, the whole sweep with its scripts, and a plain run."""
    sweep = app.start(app.python, "main.py", "-m", "x=1,2,3", "action=sleep600", *SWEEP, "hydra.launcher.n_jobs=2")
    plain = app.start(app.python, "main.py", "action=sleep600", "hydra/callbacks=mlxp_logging")
    logs = app.directory / "logs"
    wait_until(lambda: len(app.runs()) == 3)
    assert sorted(statuses(app).values()) == ["PENDING", "RUNNING", "RUNNING", "RUNNING"]
    records = {run.name: info(run) for run in app.runs()}
    (plain_run,) = [name for name, record in records.items() if record["scheduler"]["name"] is None]
    first, second = sorted(records.keys() - {plain_run})
    os.killpg(sweep.pid, signal.SIGKILL)
    os.kill(records[first]["process_id"], signal.SIGKILL)
    wait_until(lambda: info(logs / first)["status"] == "FAILED")
    os.killpg(os.getpgid(records[second]["process_id"]), signal.SIGKILL)
    os.kill(records[plain_run]["process_id"], signal.SIGKILL)
    plain.communicate()
    sweep.communicate()
    wait_until(lambda: "RUNNING" not in statuses(app).values())
    rows = {row["run"]: row for row in listed(app)}
    assert rows[first]["reason"] == "ended by signal SIGKILL during the run"
    for name in (second, plain_run):
        assert info(logs / name)["status"] == "RUNNING"
        assert rows[name]["status"] == "FAILED"
        assert "has ended without recording an exit: it was killed" in rows[name]["reason"]
    (waiting,) = rows.keys() - records.keys()
    assert rows[waiting]["status"] == "NOT_SUBMITTED"
    # The id of a process is given again: this one is alive, and started after that run
    (start,) = info(logs / plain_run)["starts"]
    change(logs / plain_run, starts=[{**start, "process_id": os.getpid()}])
    assert statuses(app)[plain_run] == "FAILED"
    change(logs / plain_run, starts=[{**start, "hostname": "another-machine"}])
    assert statuses(app)[plain_run] == "UNKNOWN"


def test_run_with_running_script(app: App) -> None:
    """A run is RUNNING while its script is, also before the application starts and after it ends."""
    script = app.write("logs/1/script.sh", "sleep 300\n")
    make_run_without_process(app.directory / "logs" / "1", process_id=2**22 + 1)
    assert statuses(app) == {"1": "FAILED"}
    process = subprocess.Popen(["sh", str(script)])
    try:
        assert statuses(app) == {"1": "RUNNING"}
    finally:
        process.kill()
        process.wait()


def make_run_without_process(path: Path, **values: Any) -> None:
    """Make the record of a run whose process no longer exists."""
    other = make_run(path.parent / "other", status="RUNNING", **values)
    (other / "metadata").rename(path / "metadata")
    (other / "log.stdout").unlink()
    other.rmdir()


def test_hydras_own_directories(app: App) -> None:
    app.sweep("x=1,2", "hydra/launcher=local")
    app.sweep("x=3", "hydra/launcher=local", "hydra.sweep.dir=multirun/again/now")
    (first,) = [path.parent for path in app.directory.glob("multirun/*/*/0") if path.parts[-3] != "again"]
    assert list(statuses(app, str(first))) == ["0", "1"]
    place = str(first.relative_to(app.directory / "multirun"))
    assert list(statuses(app, "multirun")) == [f"{place}/0", f"{place}/1", "again/now/0"]
    assert list(statuses(app, str(first / "1"))) == ["1"]
    assert "x=2" in mlxp(app, "show", "1", "-d", str(first))
    assert "x=2" in mlxp(app, "show", str(first / "1"))
    assert "2 runs in multirun have the number 0" in mlxp(app, "show", "0", "-d", "multirun", status=2)
    assert not list(first.glob("*/.mlxp-cache.json"))


def test_unsubmitted_launches(app: App) -> None:
    app.sweep("x=1,2,3", "hydra/launcher=slurm", "hydra.launcher.dry_run=true", "hydra.launcher.max_array_size=2",
              "hydra/callbacks=mlxp_logging")  # fmt: skip
    assert {row["reason"] for row in listed(app)} == {"it was a dry run"}
    (launch,) = app.directory.glob("logs/sweeps/*/launch-1")
    plan = launch / "plan.json"
    plan.write_text(plan.read_text().replace('"dry_run": true', '"dry_run": false'))
    assert set(statuses(app).values()) == {"NOT_SUBMITTED"}
    assert f"'mlxp resume {launch.parent}' submits it" in listed(app)[0]["reason"]
    assert "3/3 finished: 3 NOT_SUBMITTED" in mlxp(app, "watch", status=1)
    (launch / "1").mkdir(exist_ok=True)
    (launch / "1" / "answer.txt").touch()
    size = json.loads(plan.read_text())["array_size"]
    assert list(statuses(app).values()) == ["UNKNOWN"] * size + ["NOT_SUBMITTED"] * (3 - size)
    with (launch / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert listed(app)[0]["reason"] == "its launch is submitting it"


CUSTOM = """
from mlxp_core.schedulers import Scheduler, SLURMScheduler

class Silent(SLURMScheduler):
    title = "Silent"
    query_states = Scheduler.query_states

    def states_command(self, job_ids):
        return []
"""


def test_scheduler_that_cannot_be_queried(app: App) -> None:
    app.write("custom_scheduler.py", CUSTOM)
    app.sweep("x=1,2", "hydra/launcher=slurm", "hydra.launcher.dry_run=true", "hydra/callbacks=mlxp_logging")
    (launch,) = app.directory.glob("logs/sweeps/*/launch-1")
    plan = (launch / "plan.json").read_text().replace('"dry_run": true', '"dry_run": false')
    plan = plan.replace("mlxp_core.schedulers.slurm.SLURMScheduler", "custom_scheduler.Silent")
    (launch / "plan.json").write_text(plan)
    entries = [{"run": str(app.directory / "logs" / name), "job_id": name, "scheduler": "Silent",
                "at": "2026-11-23T03:31:43+00:00"} for name in "12"]  # fmt: skip
    (launch.parent / "submissions.jsonl").write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    start = {"status": "RUNNING", "start_time": "2026-11-23T03:31:44+00:00"}
    starts = [{"id": "1-1", "job_id": "1", "hostname": "node"}]
    change(app.directory / "logs" / "1", **start, scheduler={"name": "Silent"}, starts=starts)
    result = app.call(MLXP, "ls", "--columns", "run,status,job")
    assert [line.split() for line in result.stdout.splitlines()[-2:]] == [["1", "RUNNING", "1"], ["2", "STARTING", "2"]]
    assert "Silent cannot be queried" in result.stderr
    slow = CUSTOM.replace("[]", '["sleep", "2.5"]') + "\n    def parse_states(self, output):\n        return {}\n"
    app.write("custom_scheduler.py", slow)
    result = app.call(MLXP, "ls")
    assert "Waiting for Silent to respond, for at most 60 s ...\n" in result.stderr
    (app.directory / "custom_scheduler.py").unlink()
    result = app.call(MLXP, "ls")
    assert result.status == 0
    assert "Scheduler custom_scheduler.Silent not found" in result.stderr


def test_unchanged_records_are_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logs = tmp_path / "logs"
    for number in range(1, 6):
        run = make_run(logs / str(number), status="COMPLETE", exit_status=0)
        os.utime(run / "metadata" / "info.yaml", ns=(0, number))
    read: list[bytes] = []

    def counted(data: bytes) -> Any:
        read.append(data)
        return yaml.safe_load(data)

    def listing() -> int:
        read.clear()
        reader = RunReader(logs)
        assert [run.info.get("status") for run in reader.read()] == ["COMPLETE"] * 5
        reader.cache.save()
        return len(read)

    monkeypatch.setattr(runs_module, "load_yaml", counted)
    assert listing() == 5
    assert listing() == 0
    change(logs / "3", user="else")
    assert listing() == 1
    assert listing() == 1  # changed so recently that another change may have the same time
    for damage in ("", "[]", '{"format": 1, "files": {"1/metadata/info.yaml": 3}}', '{"format": 9}'):
        (logs / ".mlxp-cache.json").write_text(damage)
        assert listing() == 5
        assert listing() == 1


def test_concurrent_listings(app: App) -> None:
    """Both are complete, and the cache stays whole."""
    for number in range(1, 1002):
        make_run(app.directory / "logs" / str(number), status="COMPLETE", exit_status=0)
    app.write("logs/7/metrics/train.json", '{"loss": 0.5}\n')
    time.sleep(2.1)
    processes = [app.start(MLXP, "ls", "--json") for _ in range(4)]
    (text,) = {process.communicate()[0] for process in processes}
    assert [row["run"] for row in json.loads(text) if row["metrics"] == {"train.loss": 0.5}] == ["7"]
    assert listed(app)[6]["metrics"] == {"train.loss": 0.5}
    assert json.loads((app.directory / "logs" / ".mlxp-cache.json").read_text())["format"] == 1
    assert not list((app.directory / "logs").glob(".*json.*"))


# A run that ends once there is a file `go` in the working directory
WAITS = """
    while action == "wait" and not Path("go").exists():
        __import__("time").sleep(0.1)
    if action =="""


def test_watch_and_follow(app: App) -> None:
    """watch prints lines to a pipe and a live table to a terminal; both commands exit when the last run ends."""
    app.run("x=9", "action=raise", "hydra/callbacks=mlxp_logging")  # an older run, which watch leaves out
    app.write("main.py", PROBE.replace("    if action ==", WAITS, 1))
    sweep = app.start(app.python, "main.py", "-m", "x=1,2", "action=wait", *SWEEP, "hydra.launcher.n_jobs=2")
    wait_until(lambda: len(app.runs()) == 3)
    following = app.start(MLXP, "log", "3", "-f", "--interval", "1")
    watching = app.start(MLXP, "watch", "--interval", "1")
    live = terminal(app, "watch", "--interval", "1")
    seen = read_until(watching, "0/2 finished: 2 RUNNING")
    live.expect("2 RUNNING")
    assert read_until(following, "\n") == "a line on stdout\n"
    app.write("go", "")
    stdout = seen + watching.communicate(timeout=900)[0]
    assert "RUNNING -> COMPLETE  x=2" in stdout
    assert stdout.splitlines()[-1] == "2/2 finished: 2 COMPLETE"
    assert watching.returncode == 0
    assert following.communicate(timeout=900) == ("", "3 is COMPLETE\n")
    assert following.returncode == 0
    live.expect("2 COMPLETE")
    live.expect(pexpect.EOF)
    live.close()
    assert live.exitstatus == 0
    sweep.communicate()


def terminal(app: App, *arguments: str, env: Any = None) -> Any:
    """Start the command on its own terminal."""
    # Tests that run in the background of a shell ignore SIGINT
    restore = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    options: Any = {"timeout": 180, "encoding": "utf-8", "cwd": str(app.directory), "env": env, "preexec_fn": restore}
    return pexpect.spawn(MLXP, list(arguments), dimensions=(24, 100), **options)


def test_on_a_terminal(app: App) -> None:
    """The table fits the terminal with a line per run, and has colors unless NO_COLOR is set."""
    for number in (1, 2):
        run = make_run(app.directory / "logs" / str(number), status="FAILED", exit_status=1)
        overrides = [f"seed={number}", f"key={number}{'long' * 30}", *(f"option{i}={number}" for i in range(9))]
        (run / "metadata" / "overrides.yaml").write_text(yaml.safe_dump(overrides))
        change(run, error={"type": "ValueError", "message": "several\nlines"}, start_time="2026-11-23T03:31:44+00:00")
    for environment, colors in (({}, True), ({"NO_COLOR": "1"}, False)):
        env = {**os.environ, "TERM": "xterm", **environment}
        text = terminal(app, "ls", env=env).read()
        assert ("\x1b[31m" in text) is colors
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in text.splitlines()]
        assert all(len(line) <= 100 for line in lines)
        head, _, first, second, below = lines
        assert head.split() == ["run", "status", "seed", "key", *(f"option{i}" for i in range(6))]
        assert re.search(r"^1    FAILED  1     1long\w+…  1 ", first), text
        assert second.startswith("2 ")
        assert below == "Columns that do not fit: scheduler, started, option6, option7, option8. Choose with --columns."
    reason = terminal(app, "ls", "--columns", "run,reason").read().splitlines()
    assert [line.split(maxsplit=1)[1] for line in reason[2:]] == ["ValueError: several lines"] * 2


def test_watch_fits_the_screen(app: App) -> None:
    """Also with more runs than lines, of which only the watched ones make columns."""
    make_run(app.directory / "logs" / "1", status="COMPLETE", exit_status=0)
    app.write("logs/1/metadata/overrides.yaml", "- old=1\n")
    start = datetime.now().astimezone().isoformat()
    for number in range(2, 42):
        run = make_run(app.directory / "logs" / str(number), status="RUNNING", process_id=os.getpid(), start_time=start)
        overrides = ["epochs=9", f"key={number}{'long' * 30}", *(f"option{i}={number}" for i in range(20))]
        (run / "metadata" / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    live = terminal(app, "watch", "--interval", "60")
    live.expect("mlxp ls")
    live.expect(r"Columns that do not fit: [^\r]*\r")
    shown = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", live.before + live.after).splitlines()
    live.close(force=True)
    assert len(shown) < 24
    assert all(len(line) <= 100 for line in shown)


def test_interrupted(app: App) -> None:
    """Ctrl-C ends watch and log -f without a message."""
    start = datetime.now().astimezone().isoformat()
    run = make_run(app.directory / "logs" / "1", status="RUNNING", process_id=os.getpid(), start_time=start)
    (run / "log.stdout").write_text("RUNNING\n")
    for command in (["watch"], ["log", "1", "-f"]):
        program = terminal(app, *command)
        program.expect("RUNNING")
        program.sendintr()
        assert not re.search("Traceback|Aborted", program.read())
        program.close()
        assert program.exitstatus == 130


def test_closed_pipe(app: App) -> None:
    """Only lines for the closed pipe are dropped."""
    code = (
        "import sys; from mlxp_core.console import say; print(say('lost', sys.stderr), say('x', sys.stderr), say('y'))"
    )
    make_run(
        app.directory / "logs" / "1", status="RUNNING", process_id=os.getpid(), start_time="2126-01-01T00:00+00:00"
    )
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run([app.python, "-c", code], stdout=subprocess.PIPE, stderr=pipe, text=True, check=True)
        assert done.stdout == "y\nFalse True True\n"
        for arguments, status in ((["ls"], 0), (["watch"], 1)):
            result = subprocess.run(
                [MLXP, *arguments], cwd=app.directory, stdout=pipe, stderr=subprocess.PIPE, check=False, timeout=180
            )
            assert (result.returncode, result.stderr) == (status, b"")


def test_help(app: App) -> None:
    top = mlxp(app, "--help")
    for command in ("ls", "show", "log", "watch", "resume"):
        assert command in top
        assert "Example" in mlxp(app, command, "--help")
    assert "..." not in re.sub(r"(?<=[A-Z])\.\.\.|\[ARGS\]\.\.\.", "", top)  # no summary is cut
    assert max(map(len, top.splitlines())) <= 80
    assert mlxp(app, "--version").startswith("hydra-mlxp 0.")
    code = "import sys, mlxp_core.cli; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = app.call(app.python, "-c", code).stdout.split()
    assert not {"hydra", "omegaconf", "rich", "yaml", "submitit", "git"} & set(loaded)
    completion = app.call(MLXP, env={"_MLXP_COMPLETE": "bash_complete", "COMP_WORDS": "mlxp l", "COMP_CWORD": "1"})
    assert completion.stdout.split() == ["plain,log", "plain,ls"]
