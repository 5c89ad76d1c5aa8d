"""The plan of a launch: its runs, and everything that their directories and requests are made of."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlxp_core.files import name_of_user
from mlxp_core.jobs.app_command import AppCommand
from mlxp_core.jobs.script import Job
from mlxp_core.paths import path_ranges, short_path
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import now
from mlxp_core.runs.plan_file import PlanFile, unreadable

# Name of the file with the plan, in the directory of the launch
PLAN = "plan.json"


@dataclass(frozen=True)
class PlannedRun:
    """One run of a launch.

    Attributes:
        job: The run as its script describes it.
        overrides: Overrides that distinguish it from the other runs of its sweep.
        short_path: Its directory, as messages show it.
        is_new: Whether this process made the directory of its record.
    """

    job: Job
    overrides: tuple[str, ...]
    short_path: str
    is_new: bool = False

    @property
    def directory(self) -> RunDirectory:
        return self.job.run


@dataclass(frozen=True)
class Plan:
    """What one call of a launcher submits; plan.json holds it on disk.

    Attributes:
        scheduler: Dotted name of the scheduler class; `LocalScheduler` for this machine.
        options: Launcher options, as plain data.
        app: Command that starts the application.
        main_file: The application's file; None if it has none.
        version: Version of the code that runs; None without mlxp_versioning.
        settings: Settings in force for each run, in the form of the project's settings file.
        started_in: Directory in which the user started the program.
        array_size: Maximum number of jobs in one request.
        runs: The runs, in the order of their numbers.
        is_resubmission: Whether the runs were launched before. Their scripts are then submitted as they are on disk,
            and their records are continued.
        foreign: Why this process must not run code that the plan names: another user owns its file. Empty otherwise.
        after: Ids of jobs that must finish before the first of these jobs starts.
        at: Time at which the plan was written, ISO 8601; None before that.
    """

    scheduler: str
    options: dict[str, Any]
    app: AppCommand
    main_file: str | None
    version: dict[str, Any] | None
    settings: dict[str, Any]
    started_in: Path
    array_size: int
    runs: Sequence[PlannedRun]
    is_resubmission: bool = False
    foreign: str = ""
    after: tuple[str, ...] = ()
    at: str | None = field(default=None, compare=False)

    def write(self, path: Path) -> None:
        """Write plan.json, whole or not at all.

        Raises:
            RunDirectoryError: The file cannot be written.
        """
        runs = [
            {
                "directory": str(run.directory.path),
                "output_subdir": run.directory.output_subdir,
                "sweep_overrides": run.overrides,
                "overrides": run.job.overrides,
            }
            for run in self.runs
        ]
        PlanFile(
            scheduler=self.scheduler,
            options=self.options,
            array_size=self.array_size,
            runs=runs,
            app=asdict(self.app) | {"cwd": str(self.app.cwd)},
            main_file=self.main_file,
            version=self.version,
            settings=self.settings,
            started_in=str(self.started_in),
            is_resubmission=self.is_resubmission,
            after=self.after,
            at=now(),
        ).write(path)

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read plan.json.

        Raises:
            LaunchRecordError: The file is missing or damaged, or another version of this package wrote it.
        """
        plan = PlanFile.read(path)
        try:
            command = AppCommand(
                start=tuple(plan.app["start"]),
                hydra_options=tuple(plan.app["hydra_options"]),
                cwd=Path(plan.app["cwd"]),
                environment=plan.app["environment"],
                env_copy=plan.app["env_copy"],
            )
            started_in = Path(plan.started_in)
            runs = [
                PlannedRun(
                    Job(
                        plan.options["name"],
                        RunDirectory(Path(run["directory"]), run["output_subdir"]),
                        command,
                        tuple(map(tuple, run["overrides"])),
                    ),
                    tuple(run["sweep_overrides"]),
                    short_path(Path(run["directory"]), started_in),
                )
                for run in plan.runs
            ]
            return cls(
                scheduler=plan.scheduler,
                options=dict(plan.options),
                app=command,
                main_file=plan.main_file,
                version=plan.version,
                settings=plan.settings,
                started_in=started_in,
                array_size=plan.array_size,
                runs=runs,
                is_resubmission=plan.is_resubmission,
                foreign="" if plan.owner == os.getuid() else f"{path} belongs to {name_of_user(plan.owner)}",
                after=tuple(plan.after),
                at=plan.at,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise unreadable(path, error) from error


def run_ranges(runs: Sequence[PlannedRun]) -> str:
    """Return the directories of runs as messages show them: `logs/5-16, logs/18`."""
    return path_ranges(run.short_path for run in runs)
