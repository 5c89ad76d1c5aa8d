"""Starting a run another time, as a new one: its application's own command, with its overrides and more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxp_core.actions.original_command import OriginalCommand, read_start
from mlxp_core.config.override_grammar import OF_ONE_RUN, key_of, literal, override
from mlxp_core.errors import AppCommandError, SafeCopyError
from mlxp_core.runs.reader import RunRecord
from mlxp_core.versioning.git_command import LOCAL_VARIABLES
from mlxp_core.versioning.links import check_links, make_links
from mlxp_core.versioning.repository import Repository
from mlxp_core.versioning.safe_copy import safe_copy
from mlxp_core.versioning.version import ResolvedVersion

_BASIC = "hydra.sweeper.params=null"  # what the configuration sweeps over by itself


@dataclass(frozen=True)
class Rerun:
    """A program that starts a run another time.

    Attributes:
        argv: its command.
        overrides: those in it that are the application's own.
        cwd: where it starts.
        python_path: its PYTHONPATH; None for this process's own.
        settled: which code runs, where that is settled.
    """

    argv: Sequence[str]
    overrides: Sequence[str]
    cwd: Path
    python_path: str | None
    settled: ResolvedVersion | None

    @contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """Its environment, which holds while this context does."""
        from mlxp_core.callbacks.restart_in_copy import restart_environment

        own = {"PWD": str(self.cwd)} | ({"PYTHONPATH": self.python_path} if self.python_path else {})
        if self.settled is None:
            yield {**os.environ, **own}
            return
        # The application's own git shall see the copy, and Python no module of the repository
        left_out = ("PYTHONPATH", *LOCAL_VARIABLES)
        variables = {name: value for name, value in os.environ.items() if name not in left_out} | own
        with restart_environment(self.settled, {}) as variable:
            yield variables | variable


def rerun(run: RunRecord, given: Sequence[str]) -> Rerun:
    """What starts a run another time, as a new one; its safe copy is made when it is not there any more.

    Args:
        run: with a record.
        given: overrides for the new one, which win.

    Raises:
        AppCommandError: no command line starts its application.
        SafeCopyError, GitError: the code of its commit cannot be had.
    """
    start = read_start(run)
    version = run.info.get("version_manager") or {}
    settled, cwd, argv, python_path = None, start.cwd, start.argv, start.python_path
    if version.get("safe_copy"):
        old = str(version["safe_copy"])
        copy = str(_copy(version, start))
        started_in = start.started_in
        if started_in is None and cwd.is_relative_to(old):
            started_in = Path(version["repo_path"]) / cwd.relative_to(old)
        kept = {key: value for key, value in version.items() if key != "loaded_from_repository"}
        settled = ResolvedVersion(kept | {"safe_copy": copy}, started_in or cwd)
        cwd, argv = Path(str(cwd).replace(old, copy)), [word.replace(old, copy) for word in argv]
        python_path = python_path.replace(old, copy) if python_path else None
        cwd.mkdir(parents=True, exist_ok=True)  # git knows no empty ones
    if not cwd.is_dir():
        raise AppCommandError(f"{run.path} was started in {cwd}, which is not there any more.")
    if not os.access(argv[0], os.X_OK):
        raise AppCommandError(f"{run.path} was run by {argv[0]}, which is not there any more.")
    overrides = _overrides(run, start, given, settled)
    own = [text for text in overrides if not key_of(text).startswith(("hydra.", "hydra/"))]
    return Rerun([*argv, *overrides], own, cwd, python_path, settled)


def _copy(version: Mapping[str, Any], start: OriginalCommand) -> Path:
    root = Path(version["repo_path"])
    if not (root / ".git").exists():
        raise SafeCopyError(f"The repository {root} is not there any more, and its safe copies need it.")
    repository, commit = Repository(root), str(version["commit_hash"])
    copy = safe_copy(repository, commit, Path(version["safe_copy"]).with_name(commit))
    node = next((one for one in start.callbacks("VersioningCallback").values()), {})
    origin = start.started_in or root
    links = [Path(os.path.realpath((origin / link).parent), Path(link).name) for link in node.get("links") or ()]
    check_links(repository, links)
    make_links(repository, links, copy)
    return copy


def _overrides(
    run: RunRecord, start: OriginalCommand, given: Sequence[str], settled: ResolvedVersion | None
) -> list[str]:
    """All overrides of the new run: what was given then, less what is one run's own, and what is given now."""
    keys = {key_of(text) for text in given}
    launches = "hydra/launcher" in keys or "hydra.mode" in keys
    logging = next(iter(start.callbacks("LoggingCallback")), "mlxp_logging")
    root = run.directory.path.parent if run.directory.number is not None else None
    dropped = {*OF_ONE_RUN, *keys}
    prefixes = ["hydra.callbacks.mlxp_job"]
    if root is not None:
        dropped |= {f"hydra.callbacks.{logging}.{name}" for name in ("parent_log_dir", "forced_log_id")}
        dropped.add("hydra.output_subdir")
    if launches:  # what swept then is not for one run
        prefixes += ["hydra.sweeper.", "hydra/sweeper"]
    if "hydra/launcher" in keys and _choice(given, {}, "hydra/launcher") != _choice(
        start.overrides, start.hydra, "hydra/launcher"
    ):
        prefixes.append("hydra.launcher.")
    kept = [
        text for text in start.overrides if key_of(text) not in dropped and not key_of(text).startswith(tuple(prefixes))
    ]
    pins = []
    if "hydra.mode" not in keys:
        pins.append(f"hydra.mode={'MULTIRUN' if launches else 'RUN'}")
    if launches and "hydra/sweeper" not in keys:
        swept = _choice(start.overrides, start.hydra, "hydra/sweeper")
        pins += [*([] if swept in (None, "basic") else ["hydra/sweeper=basic"]), _BASIC]
    if root is not None and "hydra/callbacks" not in keys:
        place = f"++hydra.callbacks.{logging}"
        if f"hydra.callbacks.{logging}.parent_log_dir" not in keys:
            pins.append(override(f"{place}.parent_log_dir", literal(str(root))))
        if f"hydra.callbacks.{logging}.forced_log_id" not in keys:
            pins.append(f"{place}.forced_log_id=-1")
    elif settled is not None:  # Hydra's own defaults, not in the copy
        place = literal(str(settled.started_in))
        pins.append(override("hydra.run.dir", f"{place}/outputs/${{now:%Y-%m-%d}}/${{now:%H-%M-%S}}"))
        pins.append(override("hydra.sweep.dir", f"{place}/multirun/${{now:%Y-%m-%d}}/${{now:%H-%M-%S}}"))
    return [*kept, *(pin for pin in pins if key_of(pin) not in keys), *given]


def _choice(overrides: Sequence[str], hydra: Mapping[str, Any], group: str) -> str | None:
    chosen = [text.partition("=")[2] for text in overrides if key_of(text) == group]
    return chosen[-1] if chosen else hydra.get("runtime", {}).get("choices", {}).get(group)
