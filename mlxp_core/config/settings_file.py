"""mlxpy.yaml: a project's defaults for launchers and callbacks, next to its primary config."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from mlxp_core.config.options import suggestion
from mlxp_core.errors import SettingsError
from mlxp_core.files import write_whole

FILE = "mlxpy.yaml"
NO_SCHEDULER = "NoScheduler"

# All sections and keys of the file; a value must have the type of its default
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
# Keys that take a string or a list of strings
_LINES = ("shell_config_cmd", "env_cmd", "cleanup_cmd", "option_cmd")
_TYPE_NAMES = {bool: "true or false", int: "an integer", str: "a string"}


@dataclass(frozen=True)
class Settings:
    """The content of a project's settings file.

    Attributes:
        file: Path of the file, whether or not it exists.
        given: Values in the file, by section and key; without those that are null, which means "not set".
    """

    file: Path
    given: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Settings:
        """Read a settings file; one that does not exist sets nothing.

        Raises:
            SettingsError: The file cannot be read, or its content is not allowed; the message says where and why.
        """
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(file)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"Cannot read {shown(file)}: {getattr(error, 'strerror', error)}.") from error
        return cls(file, _parse(text, shown(file)))

    def section(self, name: str, **given: Any) -> dict[str, Any]:
        """Return the values of a section that are in force: `given` ones that are not None, the file's, defaults."""
        ours = {key: value for key, value in given.items() if value is not None}
        return {**DEFAULTS[name], **self.given.get(name, {}), **ours}

    def write_scheduler(self, name: str) -> None:
        """Set the project's scheduler in the file; everything else in it stays as it is, to the letter.

        Raises:
            SettingsError: The file cannot be edited safely.
            RunDirectoryError: The file cannot be written.
        """
        old = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
        if old.strip():
            text = _with_scheduler(old, name)
            expected = {**self.given, "scheduler": {**self.given.get("scheduler", {}), "name": name}}
            try:
                found = _parse(text, shown(self.file))
            except SettingsError:
                found = {}
            if found != expected:
                raise SettingsError(
                    f"Cannot edit {shown(self.file)} safely: write 'name: {name}' below 'scheduler:' there yourself."
                )
        else:
            text = settings_text({**DEFAULTS, "scheduler": {**DEFAULTS["scheduler"], "name": name}})
        write_whole(Path(os.path.realpath(self.file)), text)  # projects may share a file through a symbolic link


def settings_text(values: dict[str, dict[str, Any]]) -> str:
    """Return settings in the format of the file."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def shown(file: Path) -> str:
    """Return a path as users write it: `./...` if it is below the working directory, otherwise absolute."""
    here = Path.cwd()
    return f"./{file.relative_to(here)}" if file.is_relative_to(here) else str(file)


# Not an OmegaConf structured config, like the launchers' options: OmegaConf would read a shell's ${...} in a line as an
# interpolation (`${PATH//:/ }` is an error to it), take 1 for true and 3 for "3", and it has no type for a string or a
# list of strings
def _parse(text: str, file: str) -> dict[str, dict[str, Any]]:
    """Return the values in the text of a settings file.

    Args:
        text: Content of the file.
        file: Name of the file, for messages.

    Raises:
        SettingsError: The text is not valid YAML, or has a section, key or value that is not allowed.
    """
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{file} is not valid YAML: {_place(error)}. Correct that line.") from error
    if content is None:
        return {}
    sections = f"The sections are {', '.join(DEFAULTS)}."
    if not isinstance(content, dict):
        raise SettingsError(f"{file} must consist of sections, got {content!r}. {sections}")
    given = {}
    for section, values in content.items():
        at = f"{file}{_line(text, section)}"
        if section not in DEFAULTS:
            raise SettingsError(f"{at}: there is no section {section!r}.{suggestion(section, DEFAULTS)} {sections}")
        keys = f"The keys are {', '.join(DEFAULTS[section])}."
        if values is not None and not isinstance(values, dict):
            raise SettingsError(f"{at}: {section} must consist of keys and values, got {values!r}. {keys}")
        for key, value in (values or {}).items():
            at = f"{file}{_line(text, section, key)}"
            if key not in DEFAULTS[section]:
                raise SettingsError(f"{at}: {section} has no key {key!r}.{suggestion(key, DEFAULTS[section])} {keys}")
            if kind := _expected_type(key, value, DEFAULTS[section][key]):
                raise SettingsError(f"{at}: {section}.{key} must be {kind}, got {value!r}.")
        given[section] = {key: value for key, value in (values or {}).items() if value is not None}
    return given


def _expected_type(key: str, value: Any, default: Any) -> str | None:
    """Return what a value must be, in words; None if it is that, or not set."""
    if value is None:
        return None
    if key in _LINES:
        lines = [value] if isinstance(value, str) else value
        is_right = isinstance(lines, list) and all(isinstance(line, str) for line in lines)
        return None if is_right else "a string or a list of strings"
    return None if type(value) is type(default) else _TYPE_NAMES[type(default)]


def _line(text: str, *keys: object) -> str:
    """Return `, line 3` for the place of a section or key; empty if a YAML merge (`<<`) brought it in."""
    node, line = yaml.compose(text, yaml.SafeLoader), 0
    for name in keys:
        for key, value in node.value if isinstance(node, yaml.MappingNode) else []:
            if key.value == str(name):
                node, line = value, key.start_mark.line + 1
                break
        else:
            return ""
    return f", line {line}"


def _place(error: yaml.YAMLError) -> str:
    """Return the problem and its line, as one line of text."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
    return " ".join(str(error).split())


# Not by ruamel.yaml, which indents a file anew and drops the comment of one that has nothing else
def _with_scheduler(text: str, name: str) -> str:
    """Return the text of a settings file with another `scheduler.name`."""
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
    separator = ", " if section.flow_style else f"\n{' ' * first.column}"
    return f"{text[: first.index]}name: {name}{separator}{text[first.index :]}"
