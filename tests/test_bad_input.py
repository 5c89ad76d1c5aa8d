"""Bad input: one clear message with what to do next, no traceback, nothing launched, nothing left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.clusters import Cluster, oar_service
from tests.programs import App, Result

pytestmark = pytest.mark.hydra


def refused(app: App, result: Result, *messages: str) -> None:
    """Check that the launch failed with these messages, and left nothing behind."""
    assert result.status == 1, result.text
    for message in messages:
        assert message in result.stderr
    assert "Traceback" not in result.text
    left = sorted(
        str(path.relative_to(app.directory)) for path in app.directory.rglob("*") if "__pycache__" not in str(path)
    )
    assert left == ["conf", "conf/config.yaml", "main.py"]


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["hydra/launcher=slurm", "hydra.launcher.wltime=3"], ["hydra.launcher.wltime"]),
        (["hydra/launcher=slurm", "+hydra.launcher.timeout_mn=3"], ["hydra.launcher.timeout_mn", "timeout_min?"]),
        (["hydra/launcher=slurm", "hydra.launcher.timeout_min=soon"], ["'soon'", "Integer"]),
        (
            ["hydra/launcher=slurm", "hydra.launcher.nodes=0"],
            ["hydra.launcher.nodes must be a positive integer, got 0."],
        ),
        (
            ["hydra/launcher=local", "hydra.launcher.n_jobs=0"],
            ["hydra.launcher.n_jobs must be a positive integer, got 0."],
        ),
        (
            ["hydra/launcher=local", "hydra.launcher.n_jobs=-1"],
            ["hydra.launcher.n_jobs must be a positive integer, got -1."],
        ),
        (["hydra/launcher=local", "hydra.launcher.env_cmd={a: b}"], ["hydra.launcher.env_cmd", "list of strings"]),
        (["hydra/launcher=local", "hydra.launcher.shell_path=/no/sh"], ["/no/sh", "shell_path"]),
        (["hydra/launcher=oar", "hydra.launcher.mem_gb=4"], ["OAR has no memory resource", "memory_property"]),
        (["hydra/launcher=oar", "hydra.launcher.dry_run=true", "hydra.launcher.mem_gb=4"], ["memory_property"]),
        (["hydra/launcher=slurm", "hydra.launcher.dry_run=true", f"hydra.launcher.name={'x' * 1025}"], ["1024 bytes"]),
        (["hydra/launcher=oar", "hydra.launcher.dry_run=true", f"hydra.launcher.name={'x' * 101}"], ["100 bytes"]),
        (["hydra/launcher=oar", "hydra.launcher.dry_run=true", 'hydra.launcher.name="it\'s"'], ["no ' or"]),
        (["hydra/launcher=slurm", "hydra.launcher.dry_run=true", 'hydra.launcher.option_cmd=["a\nb"]'], ["line break"]),
        (["hydra/launcher=slurm"], ["'sbatch' is not on this machine", "hydra/launcher=local"]),
        (["hydra/launcher=oar"], ["'oarsub' is not on this machine", "hydra/launcher=local"]),
        (["hydra/launcher=local", "hydra.sweep.dir=main.py/x"], ["main.py is not a directory"]),
        (["hydra/launcher=local", "hydra.sweep.subdir=same"], ["would share the directory", "hydra.job.num"]),
        (["hydra/launcher=local", "hydra.sweep.subdir=${hydra.job.id}"], ["hydra.job.id", "hydra.job.num"]),
    ],
    ids=str,
)
def test_refused_before_anything_is_written(app: App, arguments: list[str], messages: list[str]) -> None:
    no_scheduler = {"PATH": "/nowhere"}
    refused(app, app.run("-m", "x=1,2", *arguments, env=no_scheduler), *messages)


@pytest.mark.once
@pytest.mark.skipif(os.getuid() != 0, reason="acts as another user, which only root can")
def test_a_directory_of_another_user(slurm: Cluster) -> None:
    app = slurm.app("denied").write_probe()
    refused(
        app,
        app.run("-m", "x=1", "hydra/launcher=slurm", "hydra.sweep.dir=/root/runs"),
        "/root may not be read and written",
    )
    logging = ("hydra/callbacks=mlxp_logging", "hydra.callbacks.mlxp_logging.parent_log_dir=/root/runs")
    for arguments in (("-m", "x=1", "hydra/launcher=slurm"), ("-m",), ()):
        refused(app, app.run(*arguments, *logging), "/root may not be read and written")


@pytest.mark.parametrize("launcher", ["local", "slurm", "oar"])
def test_a_run_cannot_launch_runs(app: App, launcher: str) -> None:
    result = app.run("-m", "x=1", f"hydra/launcher={launcher}", env={"MLXP_RUN_DIR": "/home/me/logs/5"})
    refused(app, result, "The run /home/me/logs/5 tried to launch runs")


def test_a_run_may_use_hydra(app: App) -> None:
    """A program inside a run may use Hydra for everything except our launchers."""
    inside = {"MLXP_RUN_DIR": "/home/me/logs/5"}
    assert app.run("x=5", "hydra/launcher=slurm", env=inside).status == 0
    assert app.run("-m", "x=5,6", "hydra/launcher=basic", "hydra/callbacks=mlxp_logging", env=inside).status == 0


def test_a_script_launches_nothing(app: App) -> None:
    """A job is started with the options of the sweep, but runs only once."""
    app.write("conf/config.yaml", "defaults: [_self_, {override hydra/launcher: local}]\nx: 1\naction: null\n"
              "hydra: {mode: MULTIRUN, launcher: {n_jobs: 1}, sweeper: {params: {x: '1,2'}}}\n")  # fmt: skip
    result = app.run()
    assert result.status == 0, result.text
    assert len(app.runs()) == 2
    assert len(list(app.directory.rglob("script.sh"))) == 2


def test_a_sweeper_that_needs_results(app: App) -> None:
    app.write("hydra_plugins/best/__init__.py", "")
    app.write(
        "hydra_plugins/best/sweeper.py",
        """
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.sweeper import Sweeper

class BestSweeper(Sweeper):
    def setup(self, *, hydra_context, task_function, config):
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config)
    def sweep(self, arguments):
        returns = self.launcher.launch([["x=3"], ["x=1"], ["x=2"]], 0)
        print("best:", min(job.return_value for job in returns))

ConfigStore.instance().store(group="hydra/sweeper", name="best",
                             node={"_target_": "hydra_plugins.best.sweeper.BestSweeper"})
""",
    )
    here = {"PYTHONPATH": str(app.directory)}
    result = app.run("-m", "hydra/sweeper=best", "hydra/launcher=slurm", "hydra.launcher.dry_run=true", env=here)
    assert result.status == 1
    assert "BestSweeper may need the results of its runs" in result.stderr
    assert not app.runs()
    result = app.run("-m", "hydra/sweeper=best", "hydra/launcher=local", env=here)
    assert "best: 1\n" in result.stdout


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["hydra.launcher.partition=nope"], "invalid partition specified: nope"),
        (["hydra.launcher.mem_gb=9999"], "Memory specification can not be satisfied"),
        (["hydra.launcher.gres=gpu:9"], "Invalid generic resource"),
        (["hydra.launcher.option_cmd=['--bogus=1']"], "unrecognized option"),
    ],
    ids=str,
)
@pytest.mark.parametrize("numbered", [False, True])
def test_slurm_refuses(slurm: Cluster, options: list[str], words: str, numbered: bool) -> None:
    app = slurm.app("slurm-refuses").write_probe()
    logging = ["hydra/callbacks=mlxp_logging"] if numbered else []
    result = app.run("-m", "x=1,2", "hydra/launcher=slurm", *options, *logging)
    _nothing_left(app, result, words)


@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["hydra.launcher.cpus_per_task=999"], "There are not enough resources"),
        (["hydra.launcher.properties=\"nosuch='1'\""], 'column "nosuch" does not exist'),
        (["hydra.launcher.queue=nope"], "queue nope does not exist"),
        (["hydra.launcher.types=[nope]"], "unknown job type"),
        (["hydra.launcher.option_cmd=['--bogus 1']"], "Not able to scan file"),
    ],
    ids=str,
)
@pytest.mark.parametrize("numbered", [False, True])
def test_oar_refuses(oar: Cluster, options: list[str], words: str, numbered: bool) -> None:
    app = oar.app("oar-refuses").write_probe()
    logging = ["hydra/callbacks=mlxp_logging"] if numbered else []
    result = app.run("-m", "x=1,2", "hydra/launcher=oar", *options, *logging)
    _nothing_left(app, result, words)


def _nothing_left(app: App, result: Result, words: str) -> None:
    assert result.status == 1
    assert words.lower() in result.stderr.lower()
    assert "Nothing was submitted" in result.stderr
    assert "Traceback" not in result.text
    assert not list(app.directory.rglob("script.sh"))
    assert not [path for path in app.directory.glob("logs/*") if path.name.isdecimal()]
    assert not (app.directory / "multirun").exists()


@pytest.mark.alone
@pytest.mark.once
def test_oar_server_is_down(oar: Cluster) -> None:
    """oarsub reports that the job is killed, but the job runs when the server is back."""
    app = oar.app("oar-down").write_probe()
    with oar_service("Almighty"):
        result = app.run("-m", "x=1,2", "hydra/launcher=oar")
    assert result.status == 0, result.text
    assert len(oar.job_ids(app)) == 2
    assert "OAR also reported" in result.stdout
    assert oar.wait(oar.job_ids(app)) == ["COMPLETED"] * 2
    assert len(app.runs()) == 2


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_full_disk(app: App, tmp_path: Path) -> None:
    """A file system that becomes full while the run directories are written."""
    small = tmp_path / "small"
    small.mkdir()
    mounted = app.call("mount", "-t", "tmpfs", "-o", "size=64k,mode=777", "tmpfs", str(small))
    if mounted.status != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        result = app.run("-m", "x=range(40)", "hydra/launcher=local", f"hydra.sweep.dir={small}/runs")
        assert result.status == 1
        assert "No space left on device" in result.stderr
        assert "Traceback" not in result.text
        assert not list(small.rglob("script.sh"))
        assert app.runs() == []
    finally:
        app.call("umount", str(small))


@pytest.mark.once
def test_a_refused_launch_does_not_change_an_older_run(slurm: Cluster) -> None:
    app = slurm.app("slurm-older").write_probe()
    app.run("x=1", "hydra/callbacks=mlxp_logging")
    slurm.sweep(app, "x=2", "hydra/callbacks=mlxp_logging")

    def content() -> dict[str, bytes]:
        files = (
            path for path in (app.directory / "logs").rglob("*") if path.is_file() and path.name != "multirun.yaml"
        )
        return {str(path): path.read_bytes() for path in files} | {str(path): b"" for path in app.directory.rglob("*/")}

    before = content()
    for number in (1, 2):
        forced = ["hydra/callbacks=mlxp_logging", f"hydra.callbacks.mlxp_logging.forced_log_id={number}"]
        for xs, options in (
            ("3", ["hydra.launcher.partition=nope"]),
            ("3,4", []),
            ("3", ['hydra.launcher.name="a\nb"']),
        ):
            result = app.run("-m", f"x={xs}", "hydra/launcher=slurm", *options, *forced)
            assert result.status == 1, result.text
            assert content() == before


def test_a_name_that_is_too_long(app: App) -> None:
    result = app.run(
        "-m", f"+y={'a' * 300}", "hydra/launcher=local", "hydra.sweep.subdir=${hydra.job.override_dirname}"
    )
    refused(app, result, "File name too long")


def test_infinity_and_nan(app: App) -> None:
    for value in ("inf", "nan"):
        result = app.run("-m", "hydra/launcher=slurm", "hydra.launcher.dry_run=true", f"hydra.launcher.mem_gb={value}")
        refused(app, result, f"hydra.launcher.mem_gb must be a positive number, got {value}.")
