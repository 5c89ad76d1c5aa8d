"""hydra/callbacks=mlxp_versioning: run the code of one commit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mlxp_core.callbacks.first_process import pass_on_version, stop_others, version_of_first
from mlxp_core.callbacks.hooks import in_job, stops_hydra
from mlxp_core.callbacks.job_callback import RecordingCallback
from mlxp_core.callbacks.restart_in_copy import received_version, restart
from mlxp_core.config.effective import has_project_launcher, read_settings
from mlxp_core.errors import AppCommandError, MlxpError
from mlxp_core.jobs.app_command import application_files, current_app_command
from mlxp_core.runs.ranks import is_first_process
from mlxp_core.runs.rendezvous import run_of_parent
from mlxp_core.schedulers.choice import resolve_scheduler
from mlxp_core.versioning.source_roots import is_installed
from mlxp_core.versioning.version import ResolvedVersion, Version, VersioningOptions

# The version of this process, once resolved: a program that calls Hydra twice is asked once
_resolved: list[ResolvedVersion] = []


class VersioningCallback(RecordingCallback):
    """Resolve, once per command, which code runs. To run a safe copy, the program restarts there.

    Options that are None have the value of the project's settings.

    Args:
        untracked: What to do with untracked files: ask, add, ignore or refuse.
        uncommitted: What to do with uncommitted changes: ask, commit, keep, ignore or refuse.
        run_from: Where to run the code: ask, copy or repository.
        parent_work_dir: Directory of the safe copies, relative to the working directory.
        compute_requirements: Whether to record the installed distributions that the code imports.
        links: Untracked paths to link into the safe copy, relative to the working directory.
    """

    def __init__(
        self,
        untracked: str = "ask",
        uncommitted: str = "ask",
        run_from: str = "ask",
        parent_work_dir: str | None = None,
        compute_requirements: bool | None = None,
        links: Sequence[str] = (),
    ) -> None:
        self.choices = {"untracked": untracked, "uncommitted": uncommitted, "run_from": run_from}
        self.given = {"parent_work_dir": parent_work_dir, "compute_requirements": compute_requirements}
        self.links = tuple(Path(os.path.realpath(Path(link).parent), Path(link).name) for link in links)
        # Read by the launcher
        self.resolved_version: ResolvedVersion | None = None

    @stops_hydra
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        # A process that the first one of the run has started runs its code already
        if not in_job(config) and run_of_parent(os.environ) is None:
            self._resolve(config)

    @stops_hydra
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        if has_project_launcher(config):
            resolve_scheduler(config)  # the first question: the answer is written to a file, which can be committed
        self._resolve(config)

    def _resolve(self, config: DictConfig) -> None:
        if not _resolved and (received := received_version(config)):
            _resolved.append(received)
        if not _resolved and not is_first_process(os.environ):
            self._use(config, version_of_first(self._options(config).parent_work_dir))
        if not _resolved:
            self._ask(config)
        self.resolved_version = _resolved[0]
        self.version = self.resolved_version.version
        self.keep_settings(config, read_settings(config, self.version))

    def _ask(self, config: DictConfig) -> None:
        """Resolve the version by the options and the user's answers; do not return if the code runs in a safe copy."""
        from mlxp_core.callbacks.outside_commit import warn_of_missing_configs
        from mlxp_core.versioning.repository import Repository
        from mlxp_core.versioning.resolution import resolve_version

        options = self._options(config)
        if options.run_from != "repository":
            current_app_command(config)  # fails before any question if no command line can restart the program

        app_files = _source_files()
        repository = Repository.containing(app_files[0].parent)

        def use(version: Version) -> None:
            resolved = ResolvedVersion(version.record(), Path.cwd())
            pass_on_version(options.parent_work_dir, resolved.version)
            if version.safe_copy is not None:
                warn_of_missing_configs(config, repository, version, self.links)
            self._use(config, resolved)

        try:
            resolve_version(options, repository, app_files, use)
        except MlxpError:
            stop_others(config, options.parent_work_dir)
            raise

    def _options(self, config: DictConfig) -> VersioningOptions:
        values = read_settings(config).section("version_manager", **self.given)
        return VersioningOptions(
            **self.choices,
            parent_work_dir=Path(os.path.realpath(values["parent_work_dir"])),
            compute_requirements=values["compute_requirements"],
            links=self.links,
        )

    def _use(self, config: DictConfig, resolved: ResolvedVersion) -> None:
        if resolved.version["safe_copy"] is not None:
            restart(config, resolved)
        _resolved.append(resolved)


def _source_files() -> list[Path]:
    """Return the application's files that are not installed.

    Raises:
        AppCommandError: There are none.
    """
    files = [Path(os.path.realpath(file.parent), file.name) for file in application_files()]
    sources = [file for file in files if not is_installed(file)]
    if not sources:
        where = f"{files[-1]} is installed" if files else "it has no file"
        raise AppCommandError(
            f"mlxp_versioning cannot find the source code of this application: {where}. Start it from a file in a git "
            "repository, or install it with 'pip install -e'."
        )
    return sources
