"""The installed distributions that code imports, as `name==version`."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path

from mlxp_core.versioning.repository import Repository


def requirements(code: Path) -> list[str]:
    """What the tracked Python files of a work tree import, of all that is installed here.

    Args:
        code: the root of the work tree.

    Returns:
        `name==version`, sorted by name; the work tree's own packages are left out.
    """
    files = [code / name for name in Repository(code).tracked_files("*.py")]
    own = {file.stem for file in files} | {parent.name for file in files for parent in file.relative_to(code).parents}
    imported = {name for file in files for name in _imports(file)}
    installed = packages_distributions()
    found = set()
    for name in imported:
        package = name.partition(".")[0]
        owners = set(installed.get(package, [])) if package not in own else set()
        found |= owners if len(owners) < 2 else {owner for owner in owners if _provides(owner, name)}
    return [f"{name}=={distribution(name).version}" for name in sorted(found, key=str.lower)]


def _imports(file: Path) -> Iterator[str]:
    """The modules that a file imports; none when this Python cannot read it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what the user's code is warned of is not said here
            tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _provides(owner: str, module: str) -> bool:
    """Whether a distribution that shares its first name with others (`google`) has this module in it."""
    path = module.replace(".", "/")
    return any(
        str(file) == f"{path}.py" or str(file).startswith(f"{path}/") for file in distribution(owner).files or []
    )
