"""Find the directories from which Python imports the repository's modules, and import from the safe copy instead."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import ModuleType

from mlxp_core import console
from mlxp_core.errors import SafeCopyError
from mlxp_core.versioning.version import option


@dataclass(frozen=True)
class Move:
    """The move from a repository to its safe copy; both paths are without symbolic links."""

    root: Path
    copy: Path

    def path(self, path: Path) -> Path:
        """Return the path in the copy for a path of the repository; return any other path unchanged."""
        return self.copy / _real(path).relative_to(self.root) if is_source(path, self.root) else path

    def directory(self, path: Path) -> Path:
        """Do the same for a directory, and create it if it is missing (git stores no empty directories)."""
        moved = self.path(path)
        if moved != path:
            moved.mkdir(parents=True, exist_ok=True)
        return moved

    def python_path(self) -> str | None:
        """Return the PYTHONPATH with which a program imports the copy's modules; None if it needs none.

        PYTHONPATH precedes both kinds of editable installs, the path in a .pth file and the finder.

        Raises:
            SafeCopyError: No PYTHONPATH has this effect.
        """
        given = os.environ.get("PYTHONPATH", "")
        # An empty entry is the working directory
        entries = [self._root(Path(os.path.abspath(entry))) for entry in given.split(os.pathsep)] if given else []
        own = [
            Path(entry) for entry in sys.path[0 if sys.flags.safe_path else 1 :]
        ]  # without the program's own directory, which Python adds
        roots = [self._root(entry) for entry in own if entry.is_dir() and is_source(entry, self.root)]
        new = list(dict.fromkeys([*entries, *roots, *self._editable_roots()]))
        moved = [entry for entry in new if entry.is_relative_to(self.copy)]
        if moved and sys.flags.ignore_environment:
            raise SafeCopyError(
                "python -E and -I ignore PYTHONPATH, which the safe copy needs: start Python without them."
            )
        if moved and os.pathsep in str(self.copy):
            raise SafeCopyError(
                f"The safe copy {self.copy} cannot be on PYTHONPATH, because its path contains '{os.pathsep}': set "
                f"{option('parent_work_dir')} to another directory."
            )
        return os.pathsep.join(map(str, new)) if new else None

    def _root(self, entry: Path) -> Path:
        """Return the path in the copy for a source root; a root that the commit does not have is not moved."""
        moved = self.path(entry)
        if moved == entry or moved.exists():
            return moved
        console.say(
            f"Warning: Python imports modules from {entry}, which is not in the commit, so not from the safe copy.\n"
        )
        return entry

    def _editable_roots(self) -> Iterator[Path]:
        """Return the source roots of setuptools' editable finders (`__editable___<name>_finder`)."""
        for name, module in list(sys.modules.items()):
            if name.startswith("__editable___"):
                for package, place in _mapping(module):
                    if is_source(place, self.root):
                        yield self._root_of(package.split("."), place)

    def _root_of(self, package: list[str], place: Path) -> Path:
        """Return the directory from which `import a.b` imports the copy's a/b."""
        parts = place.parts
        if list(parts[-len(package) :]) == package:
            return self._root(Path(*parts[: -len(package)]))
        # A package whose directory has another name (package_dir={"a": "lib"}): link it by the package's name, in a
        # directory that is never part of a commit
        links = self.copy / ".git" / "mlxp-packages"
        for suffix in ("", ".py"):
            target = self.path(place.with_name(place.name + suffix))
            link = links.joinpath(*package[:-1], package[-1] + suffix)
            if target.exists() and not link.is_symlink():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(target)
        return links


def _mapping(module: ModuleType) -> Iterator[tuple[str, Path]]:
    """Return the packages of an editable finder with their paths; the path of a module has no suffix."""
    for package, place in getattr(module, "MAPPING", {}).items():
        yield package, Path(place)
    for package, places in getattr(module, "NAMESPACES", {}).items():
        for place in places:
            yield package, Path(place)


def loaded_from(root: Path, copy: Path) -> list[str]:
    """Return the modules that this process loaded from a repository and not from its safe copy.

    Args:
        root: Root of the repository, without symbolic links in the path.
        copy: Root of the safe copy, which may be inside the repository.
    """
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and _is_own(Path(os.path.realpath(file)), root, copy):
            found.append(name)
    return sorted(found)


def is_installed(path: Path) -> bool:
    """Return whether a path belongs to a Python installation, such as a virtual environment inside the repository."""
    return any(path.is_relative_to(directory) for directory in _installation())


def is_source(path: Path, root: Path, copy: Path | None = None) -> bool:
    """Return whether a path belongs to a repository, and not to its safe copy or an installation inside it."""
    return _is_own(_real(path), root, copy)


def _is_own(real: Path, root: Path, copy: Path | None) -> bool:
    in_copy = copy is not None and real.is_relative_to(copy)
    return real.is_relative_to(root) and not in_copy and not is_installed(real)


@cache
def _installation() -> tuple[Path, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib", "scripts")
    directories = [sysconfig.get_path(name) for name in names]
    if site.ENABLE_USER_SITE:
        directories.append(site.getusersitepackages())
    if sys.prefix != sys.base_prefix and not Path(sys.prefix, ".git").exists():
        directories.append(sys.prefix)  # the whole environment, including src/, where pip puts clones
    return tuple(Path(os.path.realpath(directory)) for directory in directories)


def _real(path: Path) -> Path:
    """Resolve symbolic links, except in the last part of a file: a link can itself be a file of the commit."""
    return Path(os.path.realpath(path)) if path.is_dir() else Path(os.path.realpath(path.parent), path.name)
