"""plan.json: what one launch submits, as it is on disk."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlxp_core.errors import LaunchRecordError
from mlxp_core.files import read_with_owner, write_whole
from mlxp_core.runs.info import seconds

_FORMAT = 1


@dataclass(frozen=True)
class PlanFile:
    """The content of a plan.json, as plain data.

    Attributes:
        scheduler: Dotted name of the scheduler class.
        options: Launcher options.
        array_size: Maximum number of jobs in one request.
        runs: One mapping for each run, in the order of their numbers: `directory` (its absolute path at launch),
            `output_subdir`, `sweep_overrides` (those that distinguish it from the other runs) and `overrides` (all, in
            the groups that its script shows).
        app: Command that starts the application: the fields of `AppCommand`.
        main_file: The application's file; None if it has none.
        version: Version of the code that runs; None without mlxp_versioning.
        settings: Settings in force for each run, in the form of the project's settings file.
        started_in: Directory in which the user started the program.
        is_resubmission: Whether the runs were launched before.
        after: Ids of jobs that must finish before the first of these jobs starts.
        at: Time of writing, ISO 8601; None if it was not recorded.
        owner: User id of the owner of the file; None before it is written.
    """

    scheduler: str
    options: Mapping[str, Any]
    array_size: int
    runs: Sequence[Mapping[str, Any]]
    app: Mapping[str, Any]
    main_file: str | None
    version: dict[str, Any] | None
    settings: dict[str, Any]
    started_in: str
    is_resubmission: bool
    after: Sequence[str]
    at: str | None
    owner: int | None = None

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all, also in a power cut.

        Raises:
            RunDirectoryError: The file cannot be written.
        """
        plain = {
            "format": _FORMAT,
            "scheduler": self.scheduler,
            "options": self.options,
            "app": self.app,
            "main_file": self.main_file,
            "version": self.version,
            "settings": self.settings,
            "started_in": self.started_in,
            "array_size": self.array_size,
            "again": self.is_resubmission,
            "after": list(self.after),
            "at": self.at,
        }
        # One line for each run, so that people can read the file
        lines = ",\n".join(json.dumps(run, ensure_ascii=False) for run in self.runs)
        head = json.dumps(plain, ensure_ascii=False, indent=1).removesuffix("\n}")
        write_whole(path, f'{head},\n "runs": [\n{lines}\n]}}\n', durable=True)

    @classmethod
    def read(cls, path: Path) -> PlanFile:
        """Read the file.

        Raises:
            LaunchRecordError: The file is missing or damaged, or another version of this package wrote it.
        """
        try:
            content, owner = read_with_owner(path)
            plain = json.loads(content)
            if plain["format"] != _FORMAT:
                raise LaunchRecordError(
                    f"{path} was written by another version of hydra-mlxp: resume its launch with that version."
                )
            plan = cls(
                scheduler=plain["scheduler"],
                options=plain["options"],
                array_size=plain["array_size"],
                runs=plain["runs"],
                app=plain["app"],
                main_file=plain["main_file"],
                version=plain["version"],
                settings=plain["settings"],
                started_in=plain["started_in"],
                is_resubmission=plain.get("again", False),
                after=[str(job_id) for job_id in plain.get("after", ())],
                at=plain.get("at"),
                owner=owner,
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise unreadable(path, error) from error
        return plan


def written_at(path: Path, at: str | None) -> tuple[float, float]:
    """Return a key that sorts plans by their recorded time, and within a second by the time of the file.

    Args:
        path: The plan.json.
        at: Its recorded time.
    """
    try:
        modified = path.stat().st_mtime
    except OSError:  # removed since it was read
        modified = 0
    recorded = seconds(at)
    return (modified if recorded is None else recorded, modified)


def unreadable(path: Path, error: Exception) -> LaunchRecordError:
    """Return the error for a plan that cannot be read."""
    return LaunchRecordError(f"Cannot read the plan of a launch from {path}: {error!r}.")
