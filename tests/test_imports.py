"""Imports go down only, and what every Hydra program imports of us costs next to nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent

# The layers of the package, from the top: a folder, or a module that is in none, imports only from layers below its own
LAYERS = [
    {"hydra_plugins", "cli"},
    {"sweeps", "actions"},
    {"callbacks", "results"},
    {"launch"},
    {"status"},
    {"schedulers"},
    {"jobs"},
    {"config", "versioning", "metrics"},
    {"runs"},
    {"locks", "commands", "prompts"},
    {"files", "yaml_files", "interrupts", "console", "paths"},
    {"errors"},
]
# Folders and modules that may use Hydra
KNOW_HYDRA = {
    "callbacks",
    "sweeps",
    "config.effective",
    "config.lazy_schema",
    "config.override_grammar",
    "jobs.app_command",
    "jobs.function_job",
    "jobs.job_return",
    "schedulers.choice",
}


def modules() -> dict[str, Path]:
    """All modules of the package, by dotted name."""
    files = [*REPOSITORY.glob("hydra_plugins/**/*.py"), *REPOSITORY.glob("mlxp_core/**/*.py")]
    names = {".".join(file.relative_to(REPOSITORY).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in names.items()}


def parts() -> dict[str, Path]:
    """All modules but the package itself, which offers what some of them define."""
    return {name: file for name, file in modules().items() if name != "mlxp_core"}


def imports(file: Path) -> set[str]:
    """The modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def part(module: str) -> str:
    """The folder of a module, or the module itself where it is in none."""
    return module.removeprefix("mlxp_core.").split(".")[0]


def test_every_part_has_a_layer() -> None:
    assert {part(name) for name in parts()} == set.union(*LAYERS)
    assert len(LAYERS) <= 12


def test_imports_go_down() -> None:
    level = {name: depth for depth, names in enumerate(LAYERS) for name in names}
    for name, file in parts().items():
        for imported in {part(found) for found in imports(file) & set(modules())} - {part(name), "mlxp_core"}:
            assert level[imported] > level[part(name)], f"{name} imports {imported}"


def test_modules_of_a_folder_have_an_order() -> None:
    """No two modules import each other, directly or through others."""
    known = parts()
    sorter = TopologicalSorter({name: imports(file) & set(known) - {name} for name, file in known.items()})
    sorter.prepare()


def test_who_knows_hydra() -> None:
    for name, file in modules().items():
        if name.startswith("mlxp_core") and any(word.split(".")[0] in ("hydra", "omegaconf") for word in imports(file)):
            assert KNOW_HYDRA & {part(name), name.removeprefix("mlxp_core.")}, name


def test_who_starts_programs() -> None:
    for name, file in modules().items():
        assert "subprocess" not in imports(file) or name == "mlxp_core.commands"


def test_who_knows_git() -> None:
    for name, file in modules().items():
        assert "git" not in imports(file) or name == "mlxp_core.versioning.git_command"


@pytest.mark.parametrize(
    "module", ["git", "submitit", "rich", "cloudpickle", "tenacity", "psutil", "subprocess", "mlxp_core.callbacks"]
)
def test_a_hydra_program_imports_little(module: str) -> None:
    """What Hydra itself imports is not ours to save."""
    plugins = "import hydra_plugins.mlxp.launchers, hydra_plugins.mlxp.config, hydra_plugins.mlxp.search_path"
    hydra = "import hydra.core.plugins, hydra.main, hydra._internal.core_plugins.basic_launcher"
    code = f"import sys; {hydra}; before = set(sys.modules); {plugins}; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    new = done.stdout.split()
    assert module not in new
    assert {name.split(".")[0] for name in new} <= {"hydra_plugins", "mlxp_core", *sys.stdlib_module_names}
    assert {name for name in new if name.startswith("mlxp_core")} <= {
        "mlxp_core",
        "mlxp_core.config",
        "mlxp_core.config.lazy_schema",
    }
