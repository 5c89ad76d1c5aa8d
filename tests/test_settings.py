"""mlxpy.yaml: its allowed content, what takes precedence over it, and how a scheduler is written into it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from mlxp_core.config.settings_file import DEFAULTS, Settings
from mlxp_core.errors import SettingsError
from tests.clusters import Cluster
from tests.programs import LOGGING, App, info
from tests.projects import COPY, Project
from tests.terminals import Terminal

MLXP = ("-m", "x=1,2", "hydra/launcher=mlxp")
DRY = "hydra.launcher.dry_run=true"
ANSWER = "Please enter your answer (y/n): "
CHOICE = "Please enter your choice (or hit Enter to skip): "


def kept(run: Path) -> dict[str, dict[str, Any]]:
    """Return the settings that a run recorded."""
    settings: dict[str, dict[str, Any]] = yaml.safe_load((run / "metadata" / "mlxpy.yaml").read_text())
    return settings


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("# ours\n", "# ours\nscheduler:\n  name: NEW\n"),
        ("logger: {}  # all of it", "logger: {}  # all of it\nscheduler:\n  name: NEW\n"),
        ("scheduler:\n", "scheduler:\n  name: NEW\n"),
        ("scheduler: null # none\nlogger:\n", "scheduler:\n  name: NEW # none\nlogger:\n"),
        ("scheduler: {}\n", "scheduler: {name: NEW}\n"),
        ("scheduler: {env_cmd: ''}\n", "scheduler: {name: NEW, env_cmd: ''}\n"),
        ("scheduler:\n   # which\n   env_cmd: a\n", "scheduler:\n   # which\n   name: NEW\n   env_cmd: a\n"),
        ("scheduler:\n  name:\n  env_cmd: a\n", "scheduler:\n  name: NEW\n  env_cmd: a\n"),
        (
            "version_manager:\n    parent_work_dir:   'w'\n\nscheduler: # here\n    option_cmd:\n      - \"-l\" # x\n"
            "    name: 'NoScheduler' # was\nlogger:\n    forced_log_id: 3\n",
            "version_manager:\n    parent_work_dir:   'w'\n\nscheduler: # here\n    option_cmd:\n      - \"-l\" # x\n"
            "    name: NEW # was\nlogger:\n    forced_log_id: 3\n",
        ),
    ],
)
def test_a_scheduler_is_written_into_an_existing_file(tmp_path: Path, text: str, new: str) -> None:
    """Everything else in the file stays as it is, to the letter."""
    file = tmp_path / "mlxpy.yaml"
    file.write_text(text)
    Settings.read(file).write_scheduler("NEW")
    assert file.read_text() == new
    assert Settings.read(file).section("scheduler")["name"] == "NEW"


@pytest.mark.once
def test_a_new_file_has_all_settings(tmp_path: Path) -> None:
    Settings.read(tmp_path / "mlxpy.yaml").write_scheduler("my_app.CustomScheduler")
    expected = {**DEFAULTS, "scheduler": {**DEFAULTS["scheduler"], "name": "my_app.CustomScheduler"}}
    assert yaml.safe_load((tmp_path / "mlxpy.yaml").read_text()) == expected


@pytest.mark.once
def test_a_file_that_cannot_be_edited_safely(tmp_path: Path) -> None:
    file = tmp_path / "mlxpy.yaml"
    file.write_text("---\nlogger: {}\n...\n")
    with pytest.raises(
        SettingsError, match=r"Cannot edit .*mlxpy.yaml safely: write 'name: NEW' below 'scheduler:' there"
    ):
        Settings.read(file).write_scheduler("NEW")
    assert file.read_text() == "---\nlogger: {}\n...\n"


@pytest.mark.once
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("logger: {\n", "./conf/mlxpy.yaml is not valid YAML: line 2, column 1: "),
        (
            "- logger\n",
            "./conf/mlxpy.yaml must consist of sections, got ['logger']. The sections are logger, scheduler",
        ),
        (
            "loger: {}\n",
            "./conf/mlxpy.yaml, line 1: there is no section 'loger'. Did you mean logger? The sections are logger, ",
        ),
        (
            "logger: ./logs\n",
            "line 1: logger must consist of keys and values, got './logs'. The keys are parent_log_dir, forced_log_id.",
        ),
        (
            "scheduler: {shell: x}\n",
            "scheduler has no key 'shell'. Did you mean shell_path? The keys are name, shell_path, ",
        ),
        (
            "logger: {}\nscheduler:\n  5: x\n",
            "./conf/mlxpy.yaml, line 3: scheduler has no key 5. The keys are name, ",
        ),
        (
            "scheduler:\nlogger:\n  # a comment\n  forced_log_id: five\n",
            "./conf/mlxpy.yaml, line 4: logger.forced_log_id must be an integer, got 'five'.",
        ),
        ("version_manager: {compute_requirements: 1}\n", "compute_requirements must be true or false, got 1."),
        ("scheduler: {option_cmd: {a: b}}\n", "scheduler.option_cmd must be a string or a list of strings, got"),
        ("scheduler: {shell_path: 3}\n", "scheduler.shell_path must be a string, got 3."),
        ("scheduler: {name: Foo}\n", "./conf/mlxpy.yaml: scheduler.name: Unknown scheduler 'Foo'"),
        ("scheduler: {shell_path: /no/sh}\n", "The shell '/no/sh' is not on this machine"),
        ('scheduler: {name: SLURMScheduler, option_cmd: "a\\n#SBATCH b"}\n', "must not contain a line break"),
        (b"logger: \xff\n", "Cannot read ./conf/mlxpy.yaml"),
        ("", "No scheduler is configured. Write\n\nscheduler:\n  name: "),
        (
            "scheduler: {name: NoScheduler}\n",
            "into ./conf/mlxpy.yaml, or run on this machine with hydra.launcher.name=",
        ),
    ],
)
def test_bad_input(app: App, text: str | bytes, message: str) -> None:
    """Without a terminal: one sentence, nothing launched, nothing left behind."""
    (app.directory / "conf" / "mlxpy.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())
    result = app.run(*MLXP, LOGGING, *([] if "/no/sh" in str(text) else [DRY]))
    if "/no/sh" in str(text):
        result = app.run(*MLXP, LOGGING, "hydra.launcher.name=NoScheduler")
    assert result.status == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not [path for path in app.directory.glob("logs/*") if path.name[0] != "."]


@pytest.mark.once
@pytest.mark.parametrize("option_cmd", ["-l core=1", ["-l core=1", "-t besteffort"]])
def test_precedence(app: App, option_cmd: Any) -> None:
    """The command line over the file, and the file over the defaults; each run records what was in force."""
    scheduler = {"name": "OARScheduler", "option_cmd": option_cmd, "env_cmd": ["a=1", "b=2"], "cleanup_cmd": "c=3"}
    settings = {"scheduler": scheduler, "logger": {"parent_log_dir": "../runs", "forced_log_id": 7}}
    app.write("conf/mlxpy.yaml", yaml.safe_dump(settings))
    app.sweep("hydra/launcher=mlxp", LOGGING, DRY, "hydra.launcher.cleanup_cmd=''", "hydra.launcher.job_name=my job")
    run = app.directory.parent / "runs" / "7"
    lines = [option_cmd] if isinstance(option_cmd, str) else option_cmd
    script = (run / "script.sh").read_text()
    for line in ("#!/bin/bash", "#OAR -n my job", *(f"#OAR {line}" for line in lines), "a=1", "b=2"):
        assert f"\n{line}\n" in f"\n{script}"
    assert "c=3" not in script
    assert kept(run) == {
        "scheduler": {**DEFAULTS["scheduler"], **scheduler, "cleanup_cmd": ""},
        "logger": {"parent_log_dir": "../runs", "forced_log_id": 7},
    }

    app.sweep("hydra/launcher=slurm", LOGGING, DRY, "hydra.callbacks.mlxp_logging.forced_log_id=-1")
    script = (run.parent / "8" / "script.sh").read_text()
    assert "\na=1\n" in script
    assert "core=1" not in script  # a directive of OAR
    assert kept(run.parent / "8")["scheduler"] == {
        **DEFAULTS["scheduler"],
        **scheduler,
        "name": "SLURMScheduler",
        "option_cmd": [],
    }


@pytest.mark.once
def test_shell_expansions_are_the_shells(tmp_path: Path) -> None:
    """What OmegaConf would take for an interpolation, or refuse, is a line like any other."""
    line = "export X=${HOME} Y=${PATH//:/ } Z=${1:-2}"
    (tmp_path / "mlxpy.yaml").write_text(f"scheduler: {{env_cmd: '{line}', option_cmd: ['{line}']}}\n")
    scheduler = Settings.read(tmp_path / "mlxpy.yaml").section("scheduler")
    assert (scheduler["env_cmd"], scheduler["option_cmd"]) == (line, [line])


@pytest.mark.once
@pytest.mark.parametrize("launcher", ["basic", "local", "mlxp"])
def test_without_a_scheduler(app: App, launcher: str) -> None:
    """On this machine the other values of the file apply, and options of schedulers have no effect."""
    app.write("conf/mlxpy.yaml", "logger: {parent_log_dir: ./runs}\nscheduler: {env_cmd: 'export PROBE_A=1'}\n")
    name = ["hydra.launcher.name=NoScheduler", "hydra.launcher.timeout_min=5"] if launcher == "mlxp" else []
    app.sweep("x=1,2", f"hydra/launcher={launcher}", LOGGING, *name)
    environment = {} if launcher == "basic" else {"PROBE_A": "1"}
    assert [seen["environment"] for seen in app.seen()] == [environment] * 2
    for number in ("1", "2"):
        run = app.directory / "runs" / number
        assert info(run)["status"] == "COMPLETE"
        assert kept(run)["scheduler"]["name"] == "NoScheduler"
        assert kept(run)["logger"] == {"parent_log_dir": "./runs", "forced_log_id": -1}


def test_the_dialogue(app: App) -> None:
    """The question is repeated until the answer is valid; the answer is written; the launch continues."""
    terminal = Terminal(app, *MLXP, LOGGING, DRY)
    assert terminal.until(ANSWER).endswith(
        "No scheduler is configured by default\n\n"
        "Would you like to select a default job scheduler now ?  (y/n):\n\n"
        "y: The job scheduler configs will be stored in the file ./conf/mlxpy.yaml\n"
        "n: No scheduler will be selected by default.\n\n"
    )
    assert terminal.answer("perhaps", ANSWER) == "Error: 'perhaps' is not one of 'y', 'n'.\n"
    asked = terminal.answer("Y", CHOICE)
    assert asked.startswith(
        "\nYou can either choose one of the job schedulers available by default,\n"
        "or define a custom one by inheriting from the abstract class <class 'mlxp_core.schedulers.Scheduler'> "
        "(see documentation)\n\n"
        "For a default scheduler, you can choose one from this list:\n\n"
        "['OARScheduler', 'SLURMScheduler']\n\n"
    )
    assert asked.endswith(
        "For a custom scheduler, you must provide the full name of the user-defined Scheduler subclass "
        "(ex. my_app.CustomScheduler):\n\n"
    )
    assert terminal.answer("Foo", CHOICE).startswith("Unknown scheduler 'Foo'")
    assert "no_app" in terminal.answer("no_app.CustomScheduler", CHOICE)
    assert "pathlib.Path is not a scheduler" in terminal.answer("pathlib.Path", CHOICE)
    assert not (app.directory / "conf" / "mlxpy.yaml").exists()
    status, shown = terminal.end("oar")
    assert status == 0
    assert shown.startswith(
        "\nSetting Scheduler to OARScheduler\n\nDefault settings for MLXP will be created in ./conf/mlxpy.yaml\n\n"
        "Dry run: 2 scripts written, nothing submitted:\n"
    )
    assert yaml.safe_load((app.directory / "conf" / "mlxpy.yaml").read_text())["scheduler"]["name"] == "OARScheduler"
    assert "#OAR" in (app.directory / "logs" / "1" / "script.sh").read_text()
    assert app.run(*MLXP, LOGGING, DRY).status == 0  # without another question


@pytest.mark.once
@pytest.mark.parametrize("answers", [["n"], ["y", ""]])
def test_no_scheduler(app: App, answers: list[str]) -> None:
    terminal = Terminal(app, *MLXP, LOGGING)
    terminal.until(ANSWER)
    if len(answers) == 2:
        terminal.answer("y", CHOICE)
    status, shown = terminal.end(answers[-1])
    assert status == 0
    assert "2 runs on this machine" in shown
    assert [seen["job"]["num"] for seen in app.seen()] == [0, 1]
    assert not (app.directory / "conf" / "mlxpy.yaml").exists()


@pytest.mark.once
@pytest.mark.parametrize("how", ["Ctrl-C", "end of input"])
def test_stopping_at_the_question(app: App, how: str) -> None:
    terminal = Terminal(app, *MLXP, LOGGING)
    terminal.until(ANSWER)
    if how == "Ctrl-C":
        terminal.interrupt()
    else:
        terminal.child.sendeof()
    status, shown = terminal.end()
    assert status == 1
    assert "Nothing was launched." in shown
    assert "Traceback" not in shown
    assert not [path for path in app.directory.glob("logs/*") if path.name[0] != "."]


@pytest.mark.once
def test_the_settings_cannot_be_written(app: App) -> None:
    """Nothing is launched."""
    (app.directory / "conf" / "mlxpy.yaml").symlink_to("/proc/none/mlxpy.yaml")
    terminal = Terminal(app, *MLXP, LOGGING, DRY)
    terminal.until(ANSWER)
    terminal.answer("y", CHOICE)
    status, shown = terminal.end("OARScheduler")
    assert status == 1
    assert "Cannot write /proc/none/mlxpy.yaml" in shown
    assert not [path for path in app.directory.glob("logs/*") if path.name[0] != "."]


@pytest.mark.once
@pytest.mark.parametrize("answer", ["y", "n"])
def test_with_versions(project: Project, answer: str) -> None:
    """The scheduler is the first question, asked once; the answer goes to the repository, not to the copy."""
    terminal = Terminal(project, *MLXP, *COPY, "hydra.callbacks.mlxp_versioning.untracked=ignore")
    terminal.until(ANSWER)
    if answer == "y":
        terminal.answer("y", CHOICE)
        terminal.child.sendline("SLURMScheduler")
        terminal.child.expect_exact("Submitting 2 runs to SLURM")
        assert terminal.end()[0] == 0
        scheduler = "SLURMScheduler"
    else:
        status, shown = terminal.end("n")
        assert status == 0, shown
        assert "2 runs on this machine" in shown
        scheduler = "NoScheduler"
    (copy,) = project.copies()
    assert not (copy / "tutorial" / "conf" / "mlxpy.yaml").exists()
    assert (project.directory / "conf" / "mlxpy.yaml").exists() == (answer == "y")
    for number in ("1", "2"):
        settings = kept(project.directory / "logs" / number)
        assert settings["scheduler"]["name"] == scheduler
        assert settings["version_manager"] == DEFAULTS["version_manager"]
        assert settings["logger"]["parent_log_dir"] == str(project.directory / "logs")


@pytest.mark.once
def test_settings_are_the_users_not_the_copys(project: Project) -> None:
    """Uncommitted edits are in force: the settings say how to launch, not what."""
    project.write("conf/mlxpy.yaml", "version_manager: {parent_work_dir: ./old}\n")
    project.commit()
    project.write("conf/mlxpy.yaml", "version_manager: {parent_work_dir: ./new}\nlogger: {parent_log_dir: ./runs}\n")
    project.launch("-m", "x=1,2", "hydra/launcher=local", "hydra.callbacks.mlxp_versioning.uncommitted=keep")
    assert list((project.directory / "new" / "my project").iterdir())
    assert not (project.directory / "old").exists()
    settings = kept(project.directory / "runs" / "1")
    assert settings["version_manager"] == {"parent_work_dir": "./new", "compute_requirements": False}


@pytest.mark.once
def test_on_a_cluster(scheduler: Cluster) -> None:
    """The file names the scheduler, so the launch needs no terminal."""
    app = scheduler.app("settings").write_probe()
    kind = {"slurm": "SLURMScheduler", "oar": "OARScheduler"}[scheduler.launcher]
    app.write("conf/mlxpy.yaml", f"scheduler:\n  name: {kind}\n  env_cmd: export PROBE_A=1\n")
    app.sweep("x=1,2", "hydra/launcher=mlxp", LOGGING, "hydra.launcher.timeout_min=5")
    assert scheduler.wait(scheduler.job_ids(app)) == ["COMPLETED"] * 2
    assert [seen["environment"] for seen in app.seen()] == [{"PROBE_A": "1"}] * 2
    assert kept(app.directory / "logs" / "1")["scheduler"]["name"] == kind
