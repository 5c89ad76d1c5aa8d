"""Nothing is imported from the repository itself, however Python would find it there."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.programs import PROBE
from tests.projects import COPY, Project, install_editable, option, virtual_environment

pytestmark = pytest.mark.once

# An application that records the files of modules
MAIN = PROBE.replace(
    "    seen = {",
    "    import importlib\n"
    "    seen = {'files': {name: importlib.import_module(name).__file__ for name in config.modules},",
)
MODULES = ["library", "library.sub.deep", "space.part", "renamed", "renamed.inner", "helper"]
SETUP = """
from setuptools import setup
setup(name="code", version="1", packages={packages}, package_dir={package_dir}, py_modules=["helper"])
"""
FILES = {
    "library/__init__.py": "",
    "library/sub/__init__.py": "",
    "library/sub/deep.py": "",
    "space/part/__init__.py": "",
    "helper.py": "",
}


def write_code(project: Project, source: str, *, renamed: bool = False) -> None:
    """Write packages and a module to a source root, and perhaps a package in a directory of another name."""
    for name, text in FILES.items():
        project.write(f"../{source}{name}", text)
    if renamed:
        project.write("../lib/__init__.py", "")
        project.write("../lib/inner.py", "")
    project.write("main.py", MAIN)
    project.write("conf/config.yaml", f"x: 1\naction: null\nmodules: {MODULES if renamed else MODULES[:3]}\n")
    packages = ["library", "library.sub", "space.part", *(["renamed"] * renamed)]
    package_dir = {**({"": source} if source else {}), **({"renamed": "lib"} if renamed else {})}
    project.write("../setup.py", SETUP.format(packages=packages, package_dir=package_dir))
    project.write("../.gitignore", "*.egg-info\nvenv\nbuild\n")
    project.commit()


def check_all_from_the_copy(project: Project) -> None:
    (copy,) = project.copies()
    seen = project.seen()
    assert len(seen) == 3
    for run in seen:
        assert [name for name, file in run["files"].items() if not Path(file).is_relative_to(copy)] == []
    assert ["loaded_from_repository" in record["version_manager"] for record in project.records()] == [False] * 3


@pytest.mark.parametrize("kind", ["finder", "src layout", "compat"])
def test_editable_installs(project: Project, kind: str) -> None:
    """Both a path in a .pth file and a finder; packages, modules and namespaces."""
    # Only the finder supports packages whose directory has another name
    write_code(project, "src/" if kind == "src layout" else "", renamed=kind == "finder")
    project.python = virtual_environment(project.root / "venv", sys.executable)
    settings = ["--config-settings", "editable_mode=compat"] if kind == "compat" else []
    install_editable(project, *settings, outer=sys.executable)
    where = subprocess.check_output([project.python, "-c", "import library; print(library.__file__)"], text=True)
    assert Path(where.strip()).is_relative_to(project.root)
    project.launch()
    project.launch("-m", "x=1,2", "hydra/launcher=local")
    check_all_from_the_copy(project)


def test_pythonpath(project: Project, tmp_path: Path) -> None:
    write_code(project, "src/")
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "stranger.py").write_text("")
    modules = "modules=[library,space.part,helper,stranger]"
    environment = {"PYTHONPATH": f"../src:{outside}:../../outside:{project.root}/src"}
    project.launch(modules, env=environment)
    project.launch("-m", "x=1,2", "hydra/launcher=local", modules, env=environment)
    (copy,) = project.copies()
    for seen in project.seen():
        assert seen["files"] == {
            "library": f"{copy}/src/library/__init__.py",
            "space.part": f"{copy}/src/space/part/__init__.py",
            "helper": f"{copy}/src/helper.py",
            "stranger": f"{outside}/stranger.py",
        }
        assert seen["pythonpath"] == f"{copy}/src:{outside}"


def test_virtual_environment_inside_the_repository(project: Project) -> None:
    """It is not source code, and is used where it is."""
    write_code(project, "")
    project.python = virtual_environment(project.root / "venv", sys.executable)
    site_packages = next((project.root / "venv").glob("lib/python*/site-packages"))
    (site_packages / "installed.py").write_text("")
    project.launch("modules=[installed]")
    (seen,) = project.seen()
    assert seen["python"] == project.python
    assert seen["files"] == {"installed": str(site_packages / "installed.py")}
    (record,) = project.records()
    assert "loaded_from_repository" not in record["version_manager"]


@pytest.mark.parametrize(
    ("launcher", "end"),
    [
        ([], "null"),
        ([], "raise"),
        ([], "exit0"),
        (["-m"], "null"),
        (["-m", "hydra/launcher=local"], "null"),
        (["-m", "hydra/launcher=local"], "exit0"),
    ],
)
def test_modules_from_the_repository_are_reported(project: Project, launcher: list[str], end: str) -> None:
    write_code(project, "src/")
    start = f"import sys; sys.path.insert(0, {str(project.root / 'src')!r})\n"
    project.write("main.py", start + MAIN)
    project.commit()
    result = project.run(*launcher, *COPY, "modules=[library,helper]", f"action={end}")
    assert (result.status == 0) == (end != "raise")
    (record,) = project.records()
    assert record["version_manager"]["loaded_from_repository"] == ["helper", "library"]
    log = project.directory / "logs" / "1" / "log.stdout"
    # A warning that is logged after sys.exit goes to stderr, or nowhere
    shown = log.read_text() if log.exists() else result.stdout
    assert end == "exit0" or f"modules were loaded from {project.root}, not from the safe copy" in shown


def test_a_source_root_that_the_commit_does_not_have(project: Project) -> None:
    write_code(project, "src/")
    project.write("../.gitignore", "ignored\n")
    project.commit()
    project.write("../ignored/stray.py", "")
    result = project.launch("modules=[stray]", env={"PYTHONPATH": "../ignored"})
    assert f"Warning: Python imports modules from {project.root}/ignored, which is not in the commit" in result.stdout
    assert project.records()[0]["version_manager"]["loaded_from_repository"] == ["stray"]


def test_no_pythonpath_is_possible(project: Project) -> None:
    write_code(project, "src/")
    environment = {"PYTHONPATH": "../src"}
    result = project.run(*COPY, *option(parent_work_dir="'a:b'"), env=environment)
    assert result.status == 1
    assert "cannot be on PYTHONPATH, because its path contains ':'" in result.stderr
    assert project.runs() == []
