"""hydra/callbacks=mlxp_versioning: the code that runs is the code of one commit."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mlxp_core.callbacks.hooks import in_job, stops_hydra
from mlxp_core.callbacks.job_callback import RecordingCallback
from mlxp_core.callbacks.restart_in_copy import start_again, take_over
from mlxp_core.config.effective import callback_settings, has_project_launcher, read_settings
from mlxp_core.errors import AppCommandError
from mlxp_core.jobs.app_command import application_files, current_app_command
from mlxp_core.schedulers.choice import resolve_scheduler
from mlxp_core.versioning.source_roots import is_installed
from mlxp_core.versioning.version import ResolvedVersion, Version, VersioningOptions

# What this process settled: a program that calls Hydra twice is asked once
_settled: list[ResolvedVersion] = []


class VersioningCallback(RecordingCallback):
    """Settles, once per command, which code runs; from the safe copy, the program starts itself again there.

    Args:
        untracked: what to do with files that git does not know: ask, add, ignore or refuse.
        uncommitted: what to do with changes: ask, commit, keep, ignore or refuse.
        run_from: where the code runs: ask, copy or repository.
        parent_work_dir: the directory of safe copies, relative to where the application is started.
        compute_requirements: whether to record what the code imports.
        links: untracked paths that the safe copy gets links to, relative to where the application is started.

    What is None comes from the project's settings.
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
        self.options = {"untracked": untracked, "uncommitted": uncommitted, "run_from": run_from}
        self.links = tuple(Path(os.path.realpath(Path(link).parent), Path(link).name) for link in links)
        self.settled: ResolvedVersion | None = None

    @stops_hydra
    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        if not in_job(config):
            self._settle(config)

    @stops_hydra
    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        if has_project_launcher(config):
            resolve_scheduler(config)  # the first question; what it writes is part of what is committed
        self._settle(config)

    def _settle(self, config: DictConfig) -> None:
        if not _settled and (settled := take_over(config)):
            _settled.append(settled)
        if not _settled:
            self._ask(config)
        self.settled = _settled[0]  # the launcher asks for it
        self.version = self.settled.version
        self.keep_settings(config, read_settings(config, self.version))

    def _ask(self, config: DictConfig) -> None:
        """Settle what the options and the user say; does not return when the code runs from a safe copy."""
        from mlxp_core.versioning.repository import Repository
        from mlxp_core.versioning.resolution import resolve_version

        values = callback_settings(config, "version_manager", read_settings(config))
        options = VersioningOptions(
            **self.options,
            parent_work_dir=Path(os.path.realpath(values["parent_work_dir"])),
            compute_requirements=values["compute_requirements"],
            links=self.links,
        )
        if options.run_from != "repository":
            current_app_command(config)  # fails before any question when the program cannot be started again

        def use(version: Version) -> None:
            settled = ResolvedVersion(version.record(), Path.cwd())
            if version.safe_copy is not None:
                start_again(config, settled)
            _settled.append(settled)

        app_files = _source_files()
        resolve_version(options, Repository.containing(app_files[0].parent), app_files, use)


def _source_files() -> list[Path]:
    """The application's own files, as far as they are not installed.

    Raises:
        AppCommandError: there are none.
    """
    files = [Path(os.path.realpath(file.parent), file.name) for file in application_files()]
    sources = [file for file in files if not is_installed(file)]
    if not sources:
        where = f"{files[-1]} is installed" if files else "it has no file"
        raise AppCommandError(
            f"mlxp_versioning cannot say which code this application is: {where}. Start it from a file in a git "
            "repository, or install it with 'pip install -e'."
        )
    return sources
