"""Imports go down only, and what every Hydra program imports of us costs next to nothing."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parent.parent

# What each part may import of the others; DESIGN: "arrows of import go down only"
LAYERS = [
    {"hydra_plugins.mlxp.launchers", "hydra_plugins.mlxp.search_path"},
    {"hydra_plugins.mlxp.config"},
    {"mlxp_core.project_sweep", "mlxp_core.cli"},
    {"mlxp_core.batch_sweep", "mlxp_core.local_sweep"},
    {"mlxp_core.sweep", "mlxp_core.waiting"},
    {"mlxp_core.cli.ls", "mlxp_core.cli.show", "mlxp_core.cli.log", "mlxp_core.cli.watch"}
    | {"mlxp_core.cli.cancel", "mlxp_core.cli.resubmit", "mlxp_core.cli.rerun", "mlxp_core.cli.clean"},
    {"mlxp_core.cancelling", "mlxp_core.resubmission", "mlxp_core.rerun", "mlxp_core.cleaning"},
    {"mlxp_core.run_start"},
    {"mlxp_core.cli.tables", "mlxp_core.cli.exports", "mlxp_core.cli.options"},
    {"mlxp_core.run_listing", "mlxp_core.run_watch"},
    {"mlxp_core.run_rows", "mlxp_core.metrics_ahead"},
    {"mlxp_core.last_metrics", "mlxp_core.overrides_text"},
    {"mlxp_core.where"},
    {"mlxp_core.resume", "mlxp_core.local_again"},
    {"mlxp_core.launch", "mlxp_core.sweep_checks"},
    {"mlxp_core.submitting"},
    {"mlxp_core.requests"},
    {"mlxp_core.function_job"},
    {"mlxp_core.callbacks", "mlxp_core.attempt"},
    {"mlxp_core.callbacks.numbering", "mlxp_core.callbacks.versioning"},
    {"mlxp_core.callbacks.recording", "mlxp_core.callbacks.restart"},
    {"mlxp_core.callbacks.hooks"},
    {"mlxp_core.run_guard"},
    {"mlxp_core.selection", "mlxp_core.run_states"},
    {"mlxp_core.job_memory", "mlxp_core.asking"},
    {"mlxp_core.runs", "mlxp_core.verdict"},
    {"mlxp_core.run_search"},
    {"mlxp_core.project"},
    {"mlxp_core.scheduler_choice"},
    {"mlxp_core.versioning.settling"},
    {"mlxp_core.versioning.safe_copy", "mlxp_core.versioning.links", "mlxp_core.versioning.requirements"},
    {"mlxp_core.versioning.changes", "mlxp_core.versioning.dialogue"},
    {"mlxp_core.versioning.checkout"},
    {"mlxp_core.versioning.repository", "mlxp_core.versioning.source_roots"},
    {"mlxp_core.versioning.git_command"},
    {"mlxp_core.results", "mlxp_core.run_files", "mlxp_core.run_end"},
    {"mlxp_core.plan"},
    {"mlxp_core.launch_records", "mlxp_core.file_cache"},
    {"mlxp_core.composition"},
    {"mlxp_core.config_nodes"},
    {"mlxp_core.schedulers"},
    {"mlxp_core.schedulers.loading"},
    {"mlxp_core.schedulers.slurm", "mlxp_core.schedulers.oar", "mlxp_core.schedulers.local"},
    {"mlxp_core.schedulers.base", "mlxp_core.schedulers.sbatch_words"},
    {"mlxp_core.schedulers.batch_system"},
    {"mlxp_core.schedulers.mistakes"},
    {"mlxp_core.array_script"},
    {"mlxp_core.job_script", "mlxp_core.run_info", "mlxp_core.metrics", "mlxp_core.versioning.version"},
    {"mlxp_core.versioning.uses"},
    {"mlxp_core.locks"},
    {"mlxp_core.schemas", "mlxp_core.settings", "mlxp_core.requeue", "mlxp_core.metrics_file", "mlxp_core.scalars"},
    {"mlxp_core.children"},
    {"mlxp_core.app_command", "mlxp_core.run_directory", "mlxp_core.commands", "mlxp_core.options"},
    {"mlxp_core.questions"},
    {"mlxp_core.errors", "mlxp_core.console", "mlxp_core.overrides", "mlxp_core.interrupts", "mlxp_core.job_state"},
    {"mlxp_core.block_yaml", "mlxp_core.processes"},
    {"mlxp_core.lazy_schema"},
]
KNOW_HYDRA = {
    *("callbacks.hooks", "callbacks.numbering", "callbacks.recording", "callbacks.restart", "callbacks.versioning"),
    *("sweep", "composition", "batch_sweep", "local_sweep", "results", "app_command", "overrides"),
    *("project", "project_sweep", "function_job", "waiting", "config_nodes", "lazy_schema", "sweep_checks"),
}


def modules() -> dict[str, Path]:
    """All modules of the package, by dotted name."""
    files = [*REPOSITORY.glob("hydra_plugins/**/*.py"), *REPOSITORY.glob("mlxp_core/**/*.py")]
    names = {".".join(file.relative_to(REPOSITORY).with_suffix("").parts): file for file in files}
    return {name.removesuffix(".__init__"): file for name, file in names.items()}


def imports(file: Path) -> set[str]:
    """The modules that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_every_module_has_a_layer() -> None:
    packages = {"mlxp_core", "hydra_plugins.mlxp", "mlxp_core.versioning"}
    assert set(modules()) - packages == set.union(*LAYERS)


def test_imports_go_down() -> None:
    level = {name: depth for depth, names in enumerate(LAYERS) for name in names}
    for name, file in modules().items():
        for imported in imports(file) & set(level):
            assert level[imported] > level.get(name, -1), f"{name} imports {imported}"


def test_who_knows_hydra() -> None:
    for name, file in modules().items():
        if name.startswith("mlxp_core") and any(word.split(".")[0] in ("hydra", "omegaconf") for word in imports(file)):
            assert name.removeprefix("mlxp_core.") in KNOW_HYDRA, name


def test_who_starts_programs() -> None:
    for name, file in modules().items():
        assert "subprocess" not in imports(file) or name == "mlxp_core.commands"


def test_who_knows_git() -> None:
    for name, file in modules().items():
        assert "git" not in imports(file) or name == "mlxp_core.versioning.git_command"


@pytest.mark.parametrize(
    "module", ["git", "submitit", "rich", "cloudpickle", "tenacity", "subprocess", "mlxp_core.callbacks"]
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
        "mlxp_core.lazy_schema",
    }
