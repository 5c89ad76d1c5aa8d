"""Start a run again, as a new run: the same command with the same overrides and more."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxp_core.actions.deleted_copies import create_again
from mlxp_core.actions.original_command import OriginalCommand, read_original_command
from mlxp_core.config.override_grammar import OF_ONE_RUN, key_of, literal, override
from mlxp_core.errors import AppCommandError
from mlxp_core.runs.reader import RunRecord
from mlxp_core.versioning.git_command import LOCAL_VARIABLES
from mlxp_core.versioning.source_check import ADDED_BY_RUNS
from mlxp_core.versioning.version import ResolvedVersion

_NO_SWEEP = "hydra.sweeper.params=null"  # sweeps in the configuration itself


@dataclass(frozen=True)
class Rerun:
    """The program that starts a run again.

    Attributes:
        argv: Command line.
        overrides: Overrides in it, without those of Hydra's own options.
        cwd: Working directory.
        python_path: PYTHONPATH; None for that of this process.
        version: The code to run; None for the present code.
    """

    argv: Sequence[str]
    overrides: Sequence[str]
    cwd: Path
    python_path: str | None
    version: ResolvedVersion | None

    @contextmanager
    def environment(self) -> Iterator[dict[str, str]]:
        """Yield the environment; it is valid inside this context."""
        from mlxp_core.callbacks.restart_in_copy import restart_environment

        own = {"PWD": str(self.cwd)} | ({"PYTHONPATH": self.python_path} if self.python_path else {})
        if self.version is None:
            yield {**os.environ, **own}
            return
        # git in the application must use the copy, and Python must not import modules of the repository
        left_out = ("PYTHONPATH", *LOCAL_VARIABLES)
        variables = {name: value for name, value in os.environ.items() if name not in left_out} | own
        with restart_environment(self.version, {}) as variable:
            yield variables | variable


def rerun(run: RunRecord, given: Sequence[str]) -> Rerun:
    """Return the program that starts a run again, as a new run; a safe copy that was deleted is made again.

    Args:
        run: A run with a record.
        given: Overrides for the new run; they take precedence.

    Raises:
        AppCommandError: The command is not recorded, or cannot be used now.
        SafeCopyError, OptionError, GitError: The code of its commit is not available.
    """
    start = read_original_command(run)
    recorded = run.info.get("version_manager") or {}
    version, cwd, argv, python_path = None, start.cwd, start.argv, start.python_path
    if recorded.get("safe_copy"):
        old = str(recorded["safe_copy"])
        copy = str(create_again(run, start))
        started_in = start.started_in
        if started_in is None and cwd.is_relative_to(old):
            started_in = Path(recorded["repo_path"]) / cwd.relative_to(old)
        kept = {key: value for key, value in recorded.items() if key not in ADDED_BY_RUNS}
        version = ResolvedVersion(kept | {"safe_copy": copy}, started_in or cwd)
        cwd, argv = Path(str(cwd).replace(old, copy)), [word.replace(old, copy) for word in argv]
        python_path = python_path.replace(old, copy) if python_path else None
        cwd.mkdir(parents=True, exist_ok=True)  # git does not store empty directories
    if not cwd.is_dir():
        raise AppCommandError(f"{run.path} was started in {cwd}, which no longer exists.")
    if not os.access(argv[0], os.X_OK):
        raise AppCommandError(f"{run.path} was started by {argv[0]}, which no longer exists.")
    overrides = _overrides(run, start, given, version)
    own = [text for text in overrides if not key_of(text).startswith(("hydra.", "hydra/"))]
    return Rerun([*argv, *overrides], own, cwd, python_path, version)


def _overrides(
    run: RunRecord, start: OriginalCommand, given: Sequence[str], version: ResolvedVersion | None
) -> list[str]:
    """Return all overrides of the new run: the old ones without those for one run only, then the given ones."""
    keys = {key_of(text) for text in given}
    launches = "hydra/launcher" in keys or "hydra.mode" in keys
    logging = next(iter(start.callbacks("LoggingCallback")), "mlxp_logging")
    root = run.directory.path.parent if run.directory.number is not None else None
    dropped = {*OF_ONE_RUN, *keys}
    prefixes = ["hydra.callbacks.mlxp_job"]
    if root is not None:
        dropped |= {f"hydra.callbacks.{logging}.{name}" for name in ("parent_log_dir", "forced_log_id")}
        dropped.add("hydra.output_subdir")
    if launches:  # the old sweeper's options are not for one run
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
        pins += [*([] if swept in (None, "basic") else ["hydra/sweeper=basic"]), _NO_SWEEP]
    if root is not None and "hydra/callbacks" not in keys:
        place = f"++hydra.callbacks.{logging}"
        if f"hydra.callbacks.{logging}.parent_log_dir" not in keys:
            pins.append(override(f"{place}.parent_log_dir", literal(str(root))))
        if f"hydra.callbacks.{logging}.forced_log_id" not in keys:
            pins.append(f"{place}.forced_log_id=-1")
    elif version is not None:  # Hydra's defaults would be in the copy
        place = literal(str(version.started_in))
        pins.append(override("hydra.run.dir", f"{place}/outputs/${{now:%Y-%m-%d}}/${{now:%H-%M-%S}}"))
        pins.append(override("hydra.sweep.dir", f"{place}/multirun/${{now:%Y-%m-%d}}/${{now:%H-%M-%S}}"))
    return [*kept, *(pin for pin in pins if key_of(pin) not in keys), *given]


def _choice(overrides: Sequence[str], hydra: Mapping[str, Any], group: str) -> str | None:
    chosen = [text.partition("=")[2] for text in overrides if key_of(text) == group]
    return chosen[-1] if chosen else hydra.get("runtime", {}).get("choices", {}).get(group)
