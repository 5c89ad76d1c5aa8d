"""Hydra finds the plugins without warnings, however the package is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

pytestmark = pytest.mark.hydra

REPOSITORY = Path(__file__).parent.parent
FIND = """
import sys
import hydra
from hydra import compose, initialize
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
import mlxp_core

assert mlxp_core.__file__.startswith(sys.argv[1]), mlxp_core.__file__
names = {plugin.__name__ for plugin in Plugins.instance().discover(Launcher)}
assert {"SLURMLauncher", "OARLauncher", "LocalLauncher"} <= names, names
assert "MlxpLauncher" not in names
old = hydra.__version__.startswith("1.3")  # 1.3 warns if the argument is missing, 1.4 if it is there
with initialize(config_path=None, **({"version_base": None} if old else {})):
    for name in ("slurm", "oar", "local", "slurm_base", "oar_base", "local_base"):
        config = compose(return_hydra_config=True, overrides=[f"hydra/launcher={name}", "hydra/callbacks=mlxp_logging"])
        assert "_target_" in config.hydra.launcher
        assert config.hydra.callbacks.mlxp_logging.parent_log_dir is None
print("found")
"""


@pytest.mark.parametrize("kind", ["source", "editable", "wheel"])
def test_hydra_finds_the_plugins(tmp_path: Path, kind: str) -> None:
    source, venv = tmp_path / "source", tmp_path / "venv"
    ignore = shutil.ignore_patterns(".*", "build", "*.egg-info", "logs", "__pycache__", "tests")
    shutil.copytree(REPOSITORY, source, ignore=ignore)
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = str(venv / "bin" / "python")
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    what = {"source": [str(source)], "editable": ["-e", str(source)], "wheel": [str(tmp_path)]}[kind]
    if kind == "wheel":
        subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(source)], check=True)
        what = [str(next(tmp_path.glob("*.whl")))]
    subprocess.run([*pip, "install", "--no-deps", *what], check=True)
    # The dependencies are those of this environment; they do not include the package itself, whose install is editable
    environment = {**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"]}
    place = str(source if kind == "editable" else venv)
    found = subprocess.run(
        [python, "-W", "error::UserWarning", "-c", FIND, place],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert found.stdout == "found\n", found.stderr
    assert found.stderr == ""


def test_schemas_can_be_extended(tmp_path: Path) -> None:
    """A project's own conf/hydra/launcher/slurm.yaml hides ours, and can extend slurm_base."""
    (tmp_path / "conf/hydra/launcher").mkdir(parents=True)
    (tmp_path / "conf/hydra/launcher/night.yaml").write_text("defaults: [oar]\nqueue: night\ntimeout_min: 600\n")
    (tmp_path / "conf/hydra/launcher/slurm.yaml").write_text("defaults: [slurm_base]\npartition: night\n")
    (tmp_path / "conf/config.yaml").write_text("x: 1\n")
    (tmp_path / "main.py").write_text(
        "import hydra\n@hydra.main(version_base=None, config_path='conf', config_name='config')\n"
        "def main(config): pass\nmain()\n"
    )
    for name, directives in (
        ("night", "#OAR -l walltime=10:00:00\n#OAR -q night\n"),
        ("slurm", "#SBATCH --partition=night\n"),
    ):
        command = [sys.executable, "main.py", "-m", "x=1", f"hydra/launcher={name}", "hydra.launcher.dry_run=true"]
        done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
        assert "automatic schema" not in done.stderr
        (script,) = tmp_path.glob("multirun/*/*/0/script.sh")
        assert directives in script.read_text()
        shutil.rmtree(tmp_path / "multirun")


def test_typed() -> None:
    assert (REPOSITORY / "mlxp_core" / "py.typed").exists()
    assert (REPOSITORY / "hydra_plugins" / "mlxp" / "py.typed").exists()
    assert not (REPOSITORY / "hydra_plugins" / "__init__.py").exists()
