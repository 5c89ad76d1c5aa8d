"""The command that starts this application again: its command line without what belongs to one launch only."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from hydra._internal import utils as hydra_utils
from omegaconf import DictConfig

from mlxp_core.errors import AppCommandError

# Interpreter options with a value, in the same word or in the next one (`python --help`)
_OPTIONS_WITH_VALUE = "WX"


@dataclass(frozen=True)
class AppCommand:
    """The command that starts the application, up to its overrides.

    Attributes:
        start: Interpreter, its options, and the program.
        hydra_options: Hydra's own options (--config-name, ...).
        cwd: Directory in which the application starts.
        environment: Variables on which the start depends (PYTHONPATH).
        env_copy: Variables in hydra.job.env_copy, only for jobs that do not inherit them.
    """

    start: tuple[str, ...]
    hydra_options: tuple[str, ...]
    cwd: Path
    environment: dict[str, str] = field(default_factory=dict)
    env_copy: dict[str, str] = field(default_factory=dict)

    @property
    def argv(self) -> tuple[str, ...]:
        """The words of the command, up to the overrides."""
        return (*self.start, *self.hydra_options)


def current_app_command(config: DictConfig, moved: Callable[[Path], Path] = Path) -> AppCommand:
    """Return the command that starts the application of this process again.

    Args:
        config: Configuration of the sweep.
        moved: Function from a path in the command to its path at that time.

    Raises:
        AppCommandError: There is no such command (a notebook, `compose`, a test runner, ...).
    """
    cwd = Path(config.hydra.runtime.cwd)
    if _hydra_main() is None:
        raise AppCommandError(_cannot("@hydra.main did not read this process's command line"))

    def word(text: str) -> str:
        """The word for a moved path; unchanged if it is right in the new directory."""
        new = moved(cwd / text)
        return text if os.path.normpath(moved(cwd) / text) == os.path.normpath(new) else str(new)

    return AppCommand(
        start=(sys.executable, *_program(sys.orig_argv, cwd, word)),
        hydra_options=tuple(_hydra_options(sys.argv[1:], word)),
        cwd=moved(cwd),
        environment=_variables(["PYTHONPATH"]),
        env_copy=_variables(config.hydra.job.env_copy),
    )


def same_command(command: AppCommand, overrides: Sequence[str]) -> list[str]:
    """Return the command line of this process with more overrides.

    Args:
        command: Command whose program and paths replace those of this process.
        overrides: Overrides to add after the last one, because Hydra 1.3 wants all overrides in one place.
    """
    words = split_interpreter_options(sys.orig_argv[1:])[1]
    program = 2 if words[0] == "-m" else 1
    own = words[program:]  # not sys.argv, which the program may have changed and would change again
    given = hydra_utils.get_args_parser().parse_intermixed_args(sys.argv[1:])
    moved = dict(zip(_hydra_options(sys.argv[1:], str), command.hydra_options, strict=True))
    own = [_replaced(word, moved) for word in own]
    last = given.overrides[-1] if given.overrides else None
    place = len(own) - own[::-1].index(last) if last in own else len(own)
    return [*command.start, *own[:place], *overrides, *own[place:]]


def _replaced(word: str, moved: Mapping[str, str]) -> str:
    """A word whose path is replaced: `conf`, `--config-dir=conf`."""
    name, equals, value = word.rpartition("=")
    return f"{name}{equals}{moved.get(value, value)}" if name.startswith("-") or not name else word


def application_files() -> list[Path]:
    """Return the file of the program and that of the function under @hydra.main, as far as they are known."""
    frame = _hydra_main()
    function = frame.f_locals.get("task_function") if frame else None
    modules = [sys.modules["__main__"], sys.modules.get(getattr(function, "__module__", ""))]
    files = [os.path.abspath(file) for module in modules if (file := getattr(module, "__file__", None))]
    return [Path(file) for file in dict.fromkeys(files)]


def _variables(names: Sequence[str]) -> dict[str, str]:
    return {name: os.environ[name] for name in names if name in os.environ}


def _cannot(reason: str) -> str:
    return (
        f"This application cannot be started again in a job: {reason}. "
        "Put the function under @hydra.main into a file and start it with 'python file.py -m ...'."
    )


def _hydra_main() -> FrameType | None:
    """The call in which Hydra parsed sys.argv for the present run or sweep, if there is one."""
    frame: FrameType | None = sys._getframe()
    while frame is not None and frame.f_code is not hydra_utils._run_hydra.__code__:
        frame = frame.f_back
    return frame


def _program(orig_argv: Sequence[str], cwd: Path, word: Callable[[str], str]) -> list[str]:
    """The interpreter's options and the program: `["-u", "main.py"]`, `["-m", "package.module"]`."""
    options, words = split_interpreter_options(orig_argv[1:])
    main = sys.modules["__main__"]
    main_file = Path(getattr(main, "__file__", None) or "")
    spec = getattr(main, "__spec__", None)
    if words and main_file.name == Path(sys.argv[0]).name:
        is_module = words[0] == "-m"
        # `python -m` puts the directory where it was started first into sys.path
        found = Path(sys.path[0]) == cwd or not main_file.is_relative_to(sys.path[0] or cwd)
        if not (found if is_module else (cwd / words[0]).exists()):
            raise AppCommandError(_cannot(f"it changed its working directory to {cwd} before Hydra ran"))
        if is_module and spec is not None and spec.name in (words[1], f"{words[1]}.__main__"):
            return [*options, *words[:2]]
        if not is_module and (cwd / words[0]).samefile(main_file):
            return [*options, word(words[0])]
    # An interactive interpreter, `python -c`, a debugger, a test that sets sys.argv
    raise AppCommandError(_cannot(f"it was started as '{' '.join(orig_argv[:4])}'"))


def split_interpreter_options(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Split the words after the interpreter into its options and the program with its arguments.

    The program is `["main.py", ...]` or `["-m", "package.module", ...]`; it is empty for `python -c` and an interactive
    interpreter. Options may be joined (`-um module`, `-Xdev`); see the manual page python(1).
    """
    options: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word.startswith("--"):  # --check-hash-based-pycs VALUE is the only one that runs a program
            options += [word, *rest[:1]]
            rest = rest[1:]
            continue
        kept = "-"
        for position, letter in enumerate(word[1:], start=1):
            value = word[position + 1 :]
            if letter in "cm":
                if kept != "-":
                    options.append(kept)
                return options, ["-m", *([value] if value else []), *rest] if letter == "m" else []
            if letter in _OPTIONS_WITH_VALUE:
                options += [kept + letter + value] if value else [kept + letter, rest.pop(0)]
                kept = "-"
                break
            if letter != "i":  # a prompt after the program, which a job cannot answer
                kept += letter
        if kept != "-":
            options.append(kept)
    return options, rest if rest[:1] != ["-"] else []


def _hydra_options(words: Sequence[str], word: Callable[[str], str]) -> list[str]:
    """Hydra's options that choose the configuration; the overrides come from the composed configuration."""
    arguments = hydra_utils.get_args_parser().parse_intermixed_args(list(words))
    options = []
    for name in ("config_path", "config_name", "config_dir"):
        if (value := getattr(arguments, name)) is not None:
            # A relative --config-path starts at the file of the function under @hydra.main, and moves with it
            names_path = name == "config_dir" or (name == "config_path" and Path(value).is_absolute())
            options += [f"--{name.replace('_', '-')}", word(value) if names_path else value]
    return options
