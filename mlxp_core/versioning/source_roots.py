"""Where Python finds the repository's modules, and how it finds the safe copy's instead."""

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
    """From a repository to its safe copy: `(root, copy)`, both without symbolic links."""

    root: Path
    copy: Path

    def path(self, path: Path) -> Path:
        """The place in the copy that matches a path of the repository; any other path as it is."""
        return self.copy / _real(path).relative_to(self.root) if is_source(path, self.root) else path

    def directory(self, path: Path) -> Path:
        """The same for a directory, which is made when the commit does not have it (git knows no empty ones)."""
        moved = self.path(path)
        if moved != path:
            moved.mkdir(parents=True, exist_ok=True)
        return moved

    def python_path(self) -> str | None:
        """PYTHONPATH for a program that shall find the copy's modules first; None when it needs none.

        It comes before both kinds of editable installs, the path in a .pth file and the finder.

        Raises:
            SafeCopyError: there is no such PYTHONPATH.
        """
        given = os.environ.get("PYTHONPATH", "")
        # An empty entry is the directory of the start
        entries = [self._root(Path(os.path.abspath(entry))) for entry in given.split(os.pathsep)] if given else []
        own = [Path(entry) for entry in sys.path[0 if sys.flags.safe_path else 1 :]]  # the program's comes by itself
        roots = [self._root(entry) for entry in own if entry.is_dir() and is_source(entry, self.root)]
        new = list(dict.fromkeys([*entries, *roots, *self._editable_roots()]))
        moved = [entry for entry in new if entry.is_relative_to(self.copy)]
        if moved and sys.flags.ignore_environment:
            raise SafeCopyError("python -E and -I ignore PYTHONPATH, which the safe copy needs: start without them.")
        if moved and os.pathsep in str(self.copy):
            raise SafeCopyError(
                f"The safe copy {self.copy} cannot be on PYTHONPATH, because its path holds '{os.pathsep}': set "
                f"{option('parent_work_dir')} to another directory."
            )
        return os.pathsep.join(map(str, new)) if new else None

    def _root(self, entry: Path) -> Path:
        """A source root's place in the copy; one that the commit does not have stays."""
        moved = self.path(entry)
        if moved == entry or moved.exists():
            return moved
        console.say(
            f"Careful: Python finds modules in {entry}, which is not in the commit: they are imported from there.\n"
        )
        return entry

    def _editable_roots(self) -> Iterator[Path]:
        """Source roots that setuptools' editable finders know (`__editable___<name>_finder`)."""
        for name, module in list(sys.modules.items()):
            if name.startswith("__editable___"):
                for package, place in _mapping(module):
                    if is_source(place, self.root):
                        yield self._root_of(package.split("."), place)

    def _root_of(self, package: list[str], place: Path) -> Path:
        """The directory in which `import a.b` finds the copy's a/b."""
        parts = place.parts
        if list(parts[-len(package) :]) == package:
            return self._root(Path(*parts[: -len(package)]))
        # A package whose directory has another name (package_dir={"a": "lib"}): a link by the right name, where no
        # commit of the user's can have a file
        links = self.copy / ".git" / "mlxp-packages"
        for suffix in ("", ".py"):
            target = self.path(place.with_name(place.name + suffix))
            link = links.joinpath(*package[:-1], package[-1] + suffix)
            if target.exists() and not link.is_symlink():
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(target)
        return links


def _mapping(module: ModuleType) -> Iterator[tuple[str, Path]]:
    """Packages and the places where an editable finder finds them; a module's place has no suffix."""
    for package, place in getattr(module, "MAPPING", {}).items():
        yield package, Path(place)
    for package, places in getattr(module, "NAMESPACES", {}).items():
        for place in places:
            yield package, Path(place)


def loaded_from(root: Path, copy: Path) -> list[str]:
    """The modules of this process whose files are a repository's and not its safe copy's.

    Args:
        root: the repository, with no symbolic link in the path.
        copy: the safe copy, which may lie in the repository.
    """
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and _is_own(Path(os.path.realpath(file)), root, copy):
            found.append(name)
    return sorted(found)


def is_installed(path: Path) -> bool:
    """Whether a file is one of an installation's: of a virtual environment, say, also one inside the repository."""
    return any(path.is_relative_to(directory) for directory in _installation())


def is_source(path: Path, root: Path, copy: Path | None = None) -> bool:
    """Whether a path is one of a repository's own, and not of its safe copy or of an installation inside it."""
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
        directories.append(sys.prefix)  # of a virtual environment all, src/ too, where pip puts what it clones
    return tuple(Path(os.path.realpath(directory)) for directory in directories)


def _real(path: Path) -> Path:
    """A path without symbolic links; a file that is one is itself a file of the commit."""
    return Path(os.path.realpath(path)) if path.is_dir() else Path(os.path.realpath(path.parent), path.name)
