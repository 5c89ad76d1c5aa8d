"""The virtual environments that are compared, and the versions in them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

# What every environment must share: otherwise a comparison measures Hydra, not what is built on it
SHARED = ("hydra-core", "omegaconf")
_LIST = """
import json, sys
from importlib.metadata import PackageNotFoundError, version
found = {"python": sys.version.split()[0]}
for name in sys.argv[1:]:
    try:
        found[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(found))
"""


def python_of(environments: Path, name: str) -> str:
    """Return the Python of one of the environments."""
    return str(environments / name / "bin" / "python")


def print_versions(environments: Path, names: Sequence[str]) -> None:
    """Print what is installed in some environments.

    Raises:
        SystemExit: They do not have the same versions of Python, Hydra and OmegaConf.
    """
    shown = [*SHARED, "submitit", "hydra-mlxp", "hydra-submitit-launcher", "mlxp"]
    found = {}
    for name in names:
        argv = [python_of(environments, name), "-c", _LIST, *shown]
        found[name] = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
        print(f"{name:<9}", ", ".join(f"{package} {version}" for package, version in found[name].items()))
    for package in ("python", *SHARED):
        if len({versions[package] for versions in found.values()}) > 1:
            raise SystemExit(f"The environments have different versions of {package}; run 'make clean bench'.")
    print()
