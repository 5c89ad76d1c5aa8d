"""mlxpy.yaml: a project's defaults for launchers and callbacks, beside its primary config."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mlxp_core.errors import SettingsError
from mlxp_core.files import write_whole

FILE = "mlxpy.yaml"
NO_SCHEDULER = "NoScheduler"

# All that the file may hold; the types of these values are the types that it may have
DEFAULTS: dict[str, dict[str, Any]] = {
    "logger": {"parent_log_dir": "./logs", "forced_log_id": -1},
    "scheduler": {
        "name": NO_SCHEDULER,
        "shell_path": "/bin/bash",
        "shell_config_cmd": "",
        "env_cmd": "",
        "cleanup_cmd": "",
        "option_cmd": [],
    },
    "version_manager": {"parent_work_dir": "./.workdir", "compute_requirements": False},
}
# One line, or a list of lines
_LINES = ("shell_config_cmd", "env_cmd", "cleanup_cmd", "option_cmd")


@dataclass(frozen=True)
class Settings:
    """What a project's settings file holds.

    Attributes:
        file: where it is, or would be.
        given: the values by section and key, as far as the file has them; null stands for "not set".
    """

    file: Path
    given: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Settings:
        """Read a file; one that does not exist holds nothing.

        Raises:
            SettingsError: it is no settings file; the message says where and what is allowed.
        """
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(file)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"Cannot read {shown(file)}: {getattr(error, 'strerror', error)}.") from error
        try:
            content = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SettingsError(f"{shown(file)} is no valid YAML: {_place(error)}. Correct that line.") from error
        return cls(file, _checked(shown(file), content))

    def section(self, name: str, **given: Any) -> dict[str, Any]:
        """The values of a section that are in force: those given here (not None), the file's, and the defaults."""
        ours = {key: value for key, value in given.items() if value is not None}
        return {**DEFAULTS[name], **self.given.get(name, {}), **ours}

    def write_scheduler(self, name: str) -> None:
        """Make a scheduler the project's. All else in the file stays as it is, to the letter.

        Raises:
            SettingsError: the file has no place for it that is safe to write.
            RunDirectoryError: it cannot be written.
        """
        old = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
        if not self.given and not old.strip():
            content = {**DEFAULTS, "scheduler": {**DEFAULTS["scheduler"], "name": name}}
            text = settings_text(content)
        else:
            text = _with_scheduler(old, name)
        expected = {**self.given, "scheduler": {**self.given.get("scheduler", {}), "name": name}}
        try:
            found = _checked(shown(self.file), yaml.safe_load(text))
        except (yaml.YAMLError, SettingsError):
            found = {}
        if any(
            found.get(section, {}).get(key) != value for section in expected for key, value in expected[section].items()
        ):
            raise SettingsError(f"Write 'name: {name}' below 'scheduler:' in {shown(self.file)} yourself.")
        write_whole(Path(os.path.realpath(self.file)), text)  # a project may share its file through a link


def _with_scheduler(text: str, name: str) -> str:
    """A file's text with another `scheduler.name`."""
    root = yaml.compose(text, yaml.SafeLoader)
    sections = {key.value: value for key, value in root.value} if isinstance(root, yaml.MappingNode) else {}
    section = sections.get("scheduler")
    if section is None:
        return f"{text.rstrip()}\nscheduler:\n  name: {name}\n".lstrip()
    start, end = section.start_mark.index, section.end_mark.index
    if not isinstance(section, yaml.MappingNode):  # null, written or not
        return f"{text[:start].rstrip()}\n  name: {name}{text[end:]}"
    for key, value in section.value:
        if key.value == "name":
            before, after = text[: value.start_mark.index], text[value.end_mark.index :]
            return f"{before}{'' if before[-1].isspace() else ' '}{name}{after}"
    if not section.value:
        return f"{text[:start]}{{name: {name}}}{text[end:]}"
    first = section.value[0][0].start_mark
    follows = ", " if section.flow_style else f"\n{' ' * first.column}"
    return f"{text[: first.index]}name: {name}{follows}{text[first.index :]}"


def settings_text(values: dict[str, dict[str, Any]]) -> str:
    """Settings as a file has them."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def shown(file: Path) -> str:
    """A file as users write it: relative to where they are, when it is below."""
    here = Path.cwd()
    return f"./{file.relative_to(here)}" if file.is_relative_to(here) else str(file)


def _checked(file: str, content: Any) -> dict[str, dict[str, Any]]:
    """The values in a file, when all are allowed."""
    allowed = f"it has the sections {', '.join(DEFAULTS)}"
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{file} must hold sections, not {content!r}: {allowed}.")
    given = {}
    for section, values in content.items():
        if section not in DEFAULTS:
            raise SettingsError(f"{file}: there is no section {section!r}; {allowed}.")
        if values is not None and not isinstance(values, dict):
            raise SettingsError(f"{file}: {section} must hold keys, not {values!r}: {', '.join(DEFAULTS[section])}.")
        for key, value in (values or {}).items():
            if key not in DEFAULTS[section]:
                raise SettingsError(f"{file}: {section} has no key {key!r}; it has {', '.join(DEFAULTS[section])}.")
            _check_value(f"{file}: {section}.{key}", key, value, DEFAULTS[section][key])
        given[section] = {key: value for key, value in (values or {}).items() if value is not None}
    return given


def _check_value(place: str, key: str, value: Any, default: Any) -> None:
    if value is None:
        return
    if key in _LINES:
        lines = [value] if isinstance(value, str) else value
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise SettingsError(f"{place} must be a string or a list of strings, not {value!r}.")
    elif type(value) is not type(default):
        kind = {bool: "true or false", int: "a whole number", str: "a string"}[type(default)]
        raise SettingsError(f"{place} must be {kind}, not {value!r}.")


def _place(error: yaml.YAMLError) -> str:
    """What is wrong, and in which line, in one line."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())
