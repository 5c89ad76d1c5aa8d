"""Which scheduler a name means: one of ours, or a class of the user's, checked before anything is done with it."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from mlxp_core.config.options import BatchOptions
from mlxp_core.errors import OptionError
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.class_errors import shown

_OURS = {
    "OARScheduler": "mlxp_core.schedulers.oar.OARScheduler",
    "SLURMScheduler": "mlxp_core.schedulers.slurm.SLURMScheduler",
}
_REQUIRED = (
    *("title", "directive_prefix", "submit_command", "job_id_pattern", "job_id_variable"),
    *("list_command", "cancel_command"),
)
_WORDS = ("submit_command", "job_env_prefixes", "preserved_env")
# What no pattern may take for the answer to a request that was taken
_REFUSAL = "qsub: error 15001, see line 7"
_PATTERNS = ("job_id_pattern", "ambiguous_pattern", "retryable_pattern")


def load_scheduler(name: str) -> type[Scheduler]:
    """The class of a scheduler.

    Args:
        name: OARScheduler, SLURMScheduler, or the full name of a class: `my_app.CustomScheduler`.

    Raises:
        OptionError: there is no such class, or it is no finished scheduler.
    """
    full_name = _OURS.get(name, name)
    module_name, _, class_name = full_name.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in full_name.split(".")):
        raise OptionError(
            f"There is no scheduler {name!r}: give {', '.join(_OURS)}, or the full name of a class of yours, such as "
            "my_app.CustomScheduler."
        )
    module = _import(module_name, name)
    found: object = getattr(module, class_name, None)
    if found is None:
        place = getattr(module, "__file__", None) or module_name
        raise OptionError(f"There is no scheduler {name}: {place} has no class {class_name}.")
    if not (isinstance(found, type) and issubclass(found, Scheduler)):
        raise OptionError(f"{name} is no scheduler: it must be a subclass of {Scheduler}.")
    kind: type[Scheduler] = found
    at_top = getattr(sys.modules[kind.__module__], kind.__qualname__, None)
    if at_top != kind or kind.__module__ == "__main__":
        raise OptionError(
            f"{name} must be defined at the top of a module that can be imported, so that 'mlxp resume' finds it."
        )
    if mistakes := [*_missing(kind)] or [*_wrong_attributes(kind), *_wrong_methods(kind)]:
        raise OptionError(
            f"The scheduler's class {name} {'; it '.join(mistakes)}. The docstring of {Scheduler.__module__}."
            f"{Scheduler.__name__} describes what a class has."
        )
    return kind


def _import(module_name: str, name: str) -> ModuleType:
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise OptionError(
                f"There is no scheduler {name}: Python finds no module {error.name}. It looks beside the application's "
                "main file, and where packages are installed."
            ) from error
        raise _broken(name, module_name, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, module_name, error) from error


def _broken(name: str, module_name: str, error: BaseException) -> OptionError:
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = "" if isinstance(error, SyntaxError) else f" ({last.filename}, line {last.lineno})"
    return OptionError(
        f"The scheduler {name} cannot be loaded, because importing {module_name} fails: {shown(error)}{place}"
    )


def _missing(kind: type[Scheduler]) -> Iterator[str]:
    """What a class lacks, in words behind its name."""
    lacks = [name for name in _REQUIRED if not getattr(kind, name, None)]
    lacks += [f"the method {name}" for name in sorted(kind.__abstractmethods__)]
    if kind.implements("states_command") and not kind.implements("parse_states", "states"):
        lacks.append("the method parse_states, which goes with states_command")
    if kind.task_id_expression and kind.array_directives is Scheduler.array_directives:
        lacks.append("the method array_directives, which goes with task_id_expression")
    if lacks:
        yield "lacks " + " and ".join([", ".join(lacks[:-1]), lacks[-1]] if len(lacks) > 1 else lacks)


def _wrong_attributes(kind: type[Scheduler]) -> Iterator[str]:
    """What a class has and cannot have, in words behind its name."""
    for name in [name for name in (*_REQUIRED, *_PATTERNS) if name not in _WORDS]:
        if not isinstance(getattr(kind, name), str):
            yield f"has {name} = {getattr(kind, name)!r}, which must be a text"
            return
    for name in _WORDS:
        value = getattr(kind, name)
        if not (isinstance(value, tuple) and all(isinstance(word, str) for word in value)):
            example = tuple(value.split()) if isinstance(value, str) else ("qsub", "-V")
            yield f"has {name} = {value!r}, which must be a tuple of words, such as {example!r}"
    for name in _PATTERNS:
        try:
            groups = re.compile(pattern := getattr(kind, name)).groups
        except re.error as error:
            yield f"has {name} = {getattr(kind, name)!r}, which is no regular expression ({error})"
            continue
        if name != "job_id_pattern" or kind.implements("parse_job_ids"):
            continue
        if re.search(pattern, _REFUSAL, re.MULTILINE):
            yield f"has {name} = {pattern!r}, which finds a job id in {_REFUSAL!r}: begin it with ^, end it with $"
        if groups != 1:
            yield f"has {name} = {pattern!r}, which must have one group, the job id, and has {groups}"
    if not kind.directive_prefix.startswith("#"):
        yield f"has directive_prefix = {kind.directive_prefix!r}, which must begin with # (a shell reads it, too)"
    if not kind.job_id_variable.isidentifier():
        yield f"has job_id_variable = {kind.job_id_variable!r}, which must be a variable's name, without $"
    if not (isinstance(kind.options_class, type) and issubclass(kind.options_class, BatchOptions)):
        yield f"has options_class = {kind.options_class!r}, which must be a subclass of {BatchOptions}"


def _wrong_methods(kind: type[Scheduler]) -> Iterator[str]:
    """Methods of a class that cannot be called as ours are, in words behind its name."""
    for name, ours in inspect.getmembers(Scheduler, inspect.isfunction):
        own = inspect.getattr_static(kind, name)
        if own is ours or isinstance(own, (staticmethod, classmethod)):
            continue
        signature = inspect.signature(ours)
        named = {key for key, parameter in signature.parameters.items() if parameter.kind is parameter.KEYWORD_ONLY}
        try:
            inspect.signature(own).bind(*signature.parameters.keys() - named, **dict.fromkeys(named))
        except TypeError:
            yield f"has {name}, which must be a method {name}{signature}".replace("'", "")
