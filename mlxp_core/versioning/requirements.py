"""The installed distributions that the code imports, as `name==version`."""

from __future__ import annotations

import ast
import json
import warnings
from collections.abc import Iterator
from importlib.metadata import distribution, packages_distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlxp_core.versioning.repository import Repository


def requirements(code: Path, repository: Path) -> list[str]:
    """Return the installed distributions that the tracked Python files of a work tree import.

    Args:
        code: Root of the work tree, which may be a safe copy.
        repository: Root of the user's work tree.

    Returns:
        `name==version`, sorted by name, without distributions of the repository itself.
    """
    names = Repository(code).tracked_files("*.py")
    files = [code / name for name in names]
    own = {Path(name.removeprefix("src/")).parts[0].removesuffix(".py") for name in names}
    imported = {name for file in files for name in _imports(file)}
    installed = packages_distributions()
    found = set()
    for name in imported:
        package = name.partition(".")[0]
        owners = set(installed.get(package, [])) if package not in own else set()
        found |= owners if len(owners) < 2 else {owner for owner in owners if _provides(owner, name)}
    found = {name for name in found if not _is_installed_from(name, repository)}
    return [f"{name}=={distribution(name).version}" for name in sorted(found, key=str.lower)]


def _is_installed_from(owner: str, repository: Path) -> bool:
    """Return whether a distribution was installed from the repository (PEP 610)."""
    url = json.loads(distribution(owner).read_text("direct_url.json") or "{}").get("url", "")
    return Path(unquote(urlsplit(url).path)).is_relative_to(repository) if url.startswith("file:") else False


def _imports(file: Path) -> Iterator[str]:
    """Return the modules that a file imports; none if this version of Python cannot parse it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the user's code, not about this parser
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
    """Return whether a distribution contains a module; several may share a top-level package, such as `google`."""
    path = module.replace(".", "/")
    return any(
        str(file) == f"{path}.py" or str(file).startswith(f"{path}/") for file in distribution(owner).files or []
    )
