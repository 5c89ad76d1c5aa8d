"""What a launch uses that a safe copy does not have: run directories in the repository, and untracked configs."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mlxp_core import console
from mlxp_core.config.effective import as_hydra_config, source_directories
from mlxp_core.config.override_grammar import literal
from mlxp_core.versioning.git_command import listed, literally
from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.source_check import CONFIGS
from mlxp_core.versioning.source_roots import is_source
from mlxp_core.versioning.version import Version, option

# Number of interpolations that lead to each other; more are a circle
_MAX_DEPTH = 20
_NODE = re.compile(r"[A-Za-z_][\w.]*")


def pinned_directory(config: DictConfig, key: str, started_in: Path, root: Path) -> str | None:
    """Return a value for `hydra.run.dir` or `hydra.sweep.dir` that names the same directory in the safe copy.

    Only the beginning of the value is resolved, because the rest can differ between the jobs of a sweep.

    Args:
        config: Configuration in the repository.
        key: `run` or `sweep`.
        started_in: Directory in which the user started the program.
        root: Root of the repository, without symbolic links in the path.

    Returns:
        The value, with interpolations; None if the present one names the same directory there.
    """
    plain: Any = OmegaConf.to_container(config, resolve=False)
    text = str(plain["hydra"][key]["dir"])
    for _ in range(_MAX_DEPTH):
        if not text.startswith("${"):
            break
        beginning, rest = _split(text)
        if (raw := _raw_value(plain, beginning)) is not None:
            text = raw + rest
            continue
        try:
            with as_hydra_config(config):
                value = str(OmegaConf.create({"dir": beginning}, parent=config.hydra[key]).dir)
        except OmegaConfBaseException:  # Hydra reports it, if it uses the directory
            return None
        if not Path(value).is_absolute():
            break
        return literal(value) + rest if is_source(Path(value + rest.partition("${")[0]), root) else None
    return None if Path(text).is_absolute() else f"{literal(str(started_in))}/{text}"


def _split(text: str) -> tuple[str, str]:
    """Split a text that begins with an interpolation after that."""
    depth = 0
    for position, letter in enumerate(text):
        depth += {"{": 1, "}": -1}.get(letter, 0)
        if letter == "}" and depth == 0:
            return text[: position + 1], text[position + 1 :]
    return text, ""


def _raw_value(plain: Any, interpolation: str) -> str | None:
    """Return the text of the node that an interpolation names, with the interpolations in it.

    Returns:
        None for a resolver (`${oc.env:HOME}`), a value without interpolations (`${hydra.runtime.cwd}`), and a text that
        has no meaning elsewhere (relative interpolations).
    """
    name = interpolation[2:-1]
    if not _NODE.fullmatch(name):
        return None
    for key in name.split("."):
        plain = plain.get(key) if isinstance(plain, dict) else None
    return plain if isinstance(plain, str) and "${" in plain and "${." not in plain else None


def warn_of_missing_configs(
    config: DictConfig, repository: Repository, version: Version, links: Sequence[Path]
) -> None:
    """Name the config files of this composition that the safe copy does not have, and how to link them.

    Args:
        config: Configuration in the repository.
        repository: Repository of the application.
        version: Version with a safe copy.
        links: Paths that the user linked.

    Raises:
        GitError: git failed.
    """
    sources = [path for source in config.hydra.runtime.config_sources for path in source_directories(source)]
    places = [Path(os.path.realpath(path)) for path in sources if is_source(path, repository.root)]
    if not places:
        return
    inside = [place.relative_to(repository.root) for place in places]
    pathspecs = [literally("" if path == Path() else str(path)) for path in inside]
    others = [name for name in repository.files_not_tracked(pathspecs) if name.endswith(CONFIGS)]
    others = [name for name in others if not any(Path(name).is_relative_to(link) for link in version.links)]
    if not others:
        return
    read = {str(path.relative_to(repository.root)) for path in _composed(config, places)}
    missing = [name for name in others if name in read and not repository.has(version.commit_hash, name)]
    if missing:
        paths = [os.path.relpath(path) for path in (*links, *(repository.root / name for name in missing))]
        them = "it" if len(missing) == 1 else "them"
        console.say(
            f"Warning: the configuration reads {listed(missing)}, which the commit, and so the safe copy, does not "
            f"have. To run with {them}, set {option('links')}=[{','.join(paths)}].\n"
        )


def _composed(config: DictConfig, places: Sequence[Path]) -> list[Path]:
    """Return the files that Hydra composes this configuration of, as far as they are in some directories."""
    overrides: Any = OmegaConf.to_container(config.hydra.overrides, resolve=False)
    defaults = (
        GlobalHydra.instance()
        .config_loader()
        .compute_defaults_list(
            config_name=config.hydra.job.config_name,
            overrides=[*overrides["hydra"], *overrides["task"]],
            run_mode=config.hydra.mode,
        )
    )
    names = [default.config_path for default in defaults.defaults if default.config_path is not None]
    return [place / (name if name.endswith(CONFIGS) else f"{name}.yaml") for place in places for name in names]
