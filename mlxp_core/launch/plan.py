"""What a launch is to submit: its runs and all that their directories and requests are made of, as it is on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlxp_core.errors import LaunchRecordError
from mlxp_core.files import write_whole
from mlxp_core.jobs.app_command import AppCommand
from mlxp_core.jobs.script import Job
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.info import now

_FORMAT = 1


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep.

    Attributes:
        job: the run as its script has it.
        overrides: those that make it this one.
        label: its directory, as short as it can be shown.
    """

    job: Job
    overrides: tuple[str, ...]
    label: str

    @property
    def directory(self) -> RunDirectory:
        return self.job.run


@dataclass(frozen=True)
class Plan:
    """What one call of a launcher is to submit.

    Attributes:
        scheduler: the dotted name of the scheduler's class.
        options: the launcher's, as plain data.
        app: how the application is started.
        main_file: the application's file, if it has one.
        version: which code runs, when mlxp_versioning looks after that.
        settings: what is in force for each run, in the form of the project's settings file.
        started_in: where the user started the program.
        array_size: jobs in one request, at most.
        runs: in the order of their numbers.
        again: whether they were launched before: then their scripts are submitted as they are on disk, and their
            records are continued.
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
    again: bool = False

    def write(self, path: Path) -> None:
        """Write it down, whole or not at all.

        Raises:
            RunDirectoryError: it cannot be written.
        """
        plain = {
            "format": _FORMAT,
            "scheduler": self.scheduler,
            "options": self.options,
            "app": asdict(self.app) | {"cwd": str(self.app.cwd)},
            "main_file": self.main_file,
            "version": self.version,
            "settings": self.settings,
            "started_in": str(self.started_in),
            "array_size": self.array_size,
            "again": self.again,
            "at": now(),
        }
        runs = (
            {
                "directory": str(run.directory.path),
                "output_subdir": run.directory.output_subdir,
                "sweep_overrides": run.overrides,
                "overrides": run.job.overrides,
            }
            for run in self.runs
        )
        # A line a run, for whoever looks into it
        lines = ",\n".join(json.dumps(run, ensure_ascii=False) for run in runs)
        head = json.dumps(plain, ensure_ascii=False, indent=1).removesuffix("\n}")
        write_whole(path, f'{head},\n "runs": [\n{lines}\n]}}\n', durable=True)

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Read what `write` wrote.

        Raises:
            LaunchRecordError: it is damaged, or of another version of this package.
        """
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            if plain["format"] != _FORMAT:
                raise LaunchRecordError(
                    f"{path} was written by another version of hydra-mlxp: continue its launch with that one."
                )
            app = plain["app"]
            command = AppCommand(
                start=tuple(app["start"]),
                hydra_options=tuple(app["hydra_options"]),
                cwd=Path(app["cwd"]),
                environment=app["environment"],
                env_copy=app["env_copy"],
            )
            started_in = Path(plain["started_in"])
            runs = [
                PlannedRun(
                    Job(
                        plain["options"]["name"],
                        RunDirectory(Path(run["directory"]), run["output_subdir"]),
                        command,
                        tuple(map(tuple, run["overrides"])),
                    ),
                    tuple(run["sweep_overrides"]),
                    label(Path(run["directory"]), started_in),
                )
                for run in plain["runs"]
            ]
            return cls(
                scheduler=plain["scheduler"],
                options=plain["options"],
                app=command,
                main_file=plain["main_file"],
                version=plain["version"],
                settings=plain["settings"],
                started_in=started_in,
                array_size=plain["array_size"],
                runs=runs,
                again=plain.get("again", False),
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise LaunchRecordError(f"Cannot read what was to be launched from {path}: {error!r}.") from error


def label(path: Path, started_in: Path) -> str:
    """A path as short as it can be shown: relative to where the user started the program, when it is below."""
    return str(path.relative_to(started_in) if path.is_relative_to(started_in) else path)


def labels(runs: Sequence[PlannedRun]) -> str:
    """The directories of runs in few words: `logs/5-16, logs/18`."""
    shown = {run.directory.path: run.label for run in runs}
    return path_ranges(list(shown), shown.__getitem__)


def path_ranges(paths: Sequence[Path], shown: Callable[[Path], str]) -> str:
    """Directories in few words, those whose numbers follow each other as one; `shown` is how one is written."""
    spans: list[list[Path]] = []
    for path in paths:
        if spans and path.name.isdecimal():
            last = spans[-1][-1]
            if path.parent == last.parent and last.name.isdecimal() and int(path.name) == int(last.name) + 1:
                spans[-1].append(path)
                continue
        spans.append([path])
    return ", ".join(shown(span[0]) if len(span) == 1 else f"{shown(span[0])}-{span[-1].name}" for span in spans)
