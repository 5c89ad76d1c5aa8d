"""Jobs start in the same way as their application, and with the same configuration and environment."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mlxp_core.jobs.app_command import split_interpreter_options
from tests.clusters import Cluster
from tests.programs import PROBE, App
from tests.support import warm_start
from tests.support.start_forms import run_form, same_as_basic

pytestmark = pytest.mark.hydra

CALLBACK = """
from hydra.experimental.callback import Callback
from pathlib import Path

class Mark(Callback):
    def on_job_start(self, config, **kwargs):
        import os
        os.environ["PROBE_CALLBACK"] = "was here"
"""

FORMS: dict[str, dict[str, Any]] = {
    "script": {},
    "script in a directory": {"program": ("sub/main.py",)},
    "absolute script": {"program": ("{directory}/main.py",)},
    "module": {"program": ("-m", "package.module")},
    "package": {"program": ("-m", "package")},
    "flags": {"program": ("-u", "-X", "dev", "-OO", "main.py")},
    "joined flags": {"program": ("-uXdev", "-Wignore", "main.py")},
    "flags and module": {"program": ("-um", "package.module")},
    "config name": {"arguments": ("--config-name", "other")},
    "config name, short": {"arguments": ("-cn=other",)},
    "config path": {"arguments": ("--config-path", "conf2")},
    "config dir": {"arguments": ("+extra=more", "--config-dir", "conf3")},
    "options behind overrides": {"arguments": ("+y=2", "--config-name", "other")},
    "chdir": {"arguments": ("hydra.job.chdir=True",)},
    "job logging": {"arguments": ("hydra/job_logging=stdout",)},
    "env_set": {"arguments": ("+hydra.job.env_set.PROBE_SET='a b $HOME'",)},
    "env_copy": {"arguments": ("hydra.job.env_copy=[PROBE_COPY]",), "env": {"PROBE_COPY": "it's; here"}},
    "name": {"arguments": ("hydra.job.name=named",)},
    "callback": {"arguments": ("+hydra.callbacks.mine._target_=marks.Mark",)},
    "interpolation": {"arguments": ("+y=${hydra:job.num}", "+z=${hydra:job.name}")},
    "pythonpath": {"arguments": (), "env": {"PYTHONPATH": "sub:/nowhere/a b"}},
}


@pytest.fixture(autouse=True)
def _real_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each start is one of a new interpreter, never a fork of a warmed one."""
    monkeypatch.setattr(warm_start, "PYTHONS", set())


def write_forms(app: App) -> None:
    """Write the probe in every form to one directory."""
    app.write_probe()
    for name in ("sub/main.py", "package/module.py", "package/__main__.py"):
        app.write(name, PROBE)
    app.write("package/__init__.py", "")
    app.write("marks.py", CALLBACK)
    for folder in ("conf", "conf2", "sub/conf", "package/conf"):
        app.write(f"{folder}/config.yaml", f"x: 1\naction: null\nwhere: {folder}\n")
    app.write("conf/other.yaml", "x: 1\naction: null\nwhere: other\n")
    app.write("conf3/extra/more.yaml", "# @package _global_\nmore: true\n")


# What Hydra has no part in
WITHOUT_HYDRA = {"script", "script in a directory", "absolute script", "flags", "joined flags", "pythonpath"}


@pytest.mark.parametrize(
    "form",
    [pytest.param(form, id=name, marks=[pytest.mark.once] * (name in WITHOUT_HYDRA)) for name, form in FORMS.items()],
)
def test_form_on_slurm(slurm: Cluster, form: dict[str, Any], request: pytest.FixtureRequest) -> None:
    app = slurm.app(request.node.name)
    write_forms(app)
    run_form(app, form, "hydra/launcher=slurm")
    job_ids = slurm.job_ids(app)
    assert slurm.wait(job_ids) == ["COMPLETED"] * 2
    launched = app.seen()
    assert [run["job"]["id"] for run in launched] == job_ids
    same_as_basic(app, launched, form)


def test_environment_that_is_not_inherited(oar: Cluster) -> None:
    """OAR starts jobs with an environment of their own."""
    app = oar.app("oar-environment")
    write_forms(app)
    form = {**FORMS["env_copy"], "env": {"PROBE_COPY": "it's; here", "PYTHONPATH": "sub:/nowhere/a b"}}
    run_form(app, form, "hydra/launcher=oar")
    assert oar.wait(oar.job_ids(app)) == ["COMPLETED"] * 2
    launched = app.seen()
    assert [run["pythonpath"] for run in launched] == ["sub:/nowhere/a b"] * 2
    same_as_basic(app, launched, form)


def test_console_script(app: App, tmp_path: Path) -> None:
    """A console script is a file in bin/ that imports the application."""
    app.write("src/my_app/main.py", PROBE)
    app.write("src/my_app/conf/config.yaml", "x: 1\naction: null\n")
    app.write("src/my_app/__init__.py", "")
    app.write("src/my_app/conf/__init__.py", "")
    script = app.write(
        "bin/my-app", f"#!{sys.executable}\nimport sys\nfrom my_app.main import main\nsys.exit(main())\n"
    )
    script.chmod(0o755)
    environment = {"PYTHONPATH": str(app.directory / "src"), "PATH": f"{script.parent}:/usr/bin:/bin"}
    result = app.call("my-app", "-m", "x=1,2", "hydra/launcher=local", env=environment)
    assert result.status == 0, result.text
    assert [run["config"]["x"] for run in app.seen()] == [1, 2]
    assert app.seen()[0]["main"][0] == str(script)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (("-c", "import main; main.main()"), "was started as"),
        (("-m", "pdb", "-c", "continue", "main.py"), "was started as"),
        (("-m", "cProfile", "-o", "profile", "main.py"), "was started as"),
        (("moved.py",), "changed its working directory"),
        (("-m", "moved"), "changed its working directory"),
    ],
)
def test_programs_that_cannot_be_restarted(app: App, program: tuple[str, ...], reason: str) -> None:
    app.write("conf/__init__.py", "")  # required by Hydra if main.py is imported
    app.write("elsewhere/file", "")
    app.write("moved.py", PROBE.replace("\nimport hydra\n", "\nimport hydra\nos.chdir('elsewhere')\n"))
    never = "hydra.launcher.submit_function=never"
    result = app.run("-m", "x=1,2", "hydra/launcher=local", never, program=program)
    assert "cannot be started again" in result.text
    assert reason in result.text
    assert not (app.directory / "multirun").exists()


def test_launch_from_a_function(app: App) -> None:
    """A notebook, hydra-zen or a test calls Hydra without a command line."""
    app.write(
        "zen.py",
        """
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
import hydra._internal.utils as utils
from hydra import version

version.setbase("1.3")
hydra = Hydra.create_main_hydra2("zen", create_config_search_path("conf"))
overrides = ["hydra/launcher=local", "hydra.launcher.submit_function=never"]
utils.run_and_report(lambda: hydra.multirun(config_name=None, task_function=print, overrides=overrides))
""",
    )
    result = app.run(program=("zen.py",))
    assert result.status == 1
    assert "cannot be started again in a job: @hydra.main did not read" in result.stderr
    assert not (app.directory / "multirun").exists()


@pytest.mark.parametrize(
    ("words", "options", "program"),
    [
        (["main.py", "a=1"], [], ["main.py", "a=1"]),
        (["-u", "-X", "dev", "main.py"], ["-u", "-X", "dev"], ["main.py"]),
        (["-Xdev", "-OO", "main.py", "-m"], ["-Xdev", "-OO"], ["main.py", "-m"]),
        (["-W", "error", "-m", "pkg.mod", "-m"], ["-W", "error"], ["-m", "pkg.mod", "-m"]),
        (["-mpkg", "x=1"], [], ["-m", "pkg", "x=1"]),
        (["-uOm", "pkg"], ["-uO"], ["-m", "pkg"]),
        (["-i", "-Oi", "-iX", "dev", "-um", "pkg"], ["-O", "-X", "dev", "-u"], ["-m", "pkg"]),
        (["--check-hash-based-pycs", "never", "m.py"], ["--check-hash-based-pycs", "never"], ["m.py"]),
        (["-u", "-c", "pass"], ["-u"], []),
        (["-"], [], []),
        ([], [], []),
    ],
)
def test_interpreter_options(words: list[str], options: list[str], program: list[str]) -> None:
    assert split_interpreter_options(words) == (options, program)
