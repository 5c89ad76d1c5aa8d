"""Load a scheduler class by its name, and check a class of the user before it is used."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

from mlxp_core.config.options import BatchOptions
from mlxp_core.config.scheduler_names import class_name_of
from mlxp_core.errors import OptionError
from mlxp_core.schedulers.base import Scheduler
from mlxp_core.schedulers.class_errors import error_text

_OURS = {
    "OARScheduler": "mlxp_core.schedulers.oar.OARScheduler",
    "SLURMScheduler": "mlxp_core.schedulers.slurm.SLURMScheduler",
}
_REQUIRED = (
    *("title", "directive_prefix", "submit_command", "job_id_pattern", "job_id_variable"),
    *("list_command", "cancel_command"),
)
_WORDS = ("submit_command", "job_env_prefixes", "preserved_env")
# No pattern may find a job id in it
_REFUSAL = "qsub: error 15001, see line 7"
_PATTERNS = ("job_id_pattern", "ambiguous_pattern", "retryable_pattern")


def load_scheduler(name: str) -> type[Scheduler]:
    """Return the class of a scheduler.

    Args:
        name: Name of the scheduler: OARScheduler or SLURMScheduler, `oar` or `slurm`, or the full name of a class:
            `my_app.CustomScheduler`.

    Raises:
        OptionError: There is no such class, or it is not a complete scheduler.
    """
    full_name = _OURS.get(class_name_of(name), name)
    module_name, _, class_name = full_name.rpartition(".")
    if not module_name or not all(part.isidentifier() for part in full_name.split(".")):
        raise OptionError(
            f"Unknown scheduler {name!r}: must be oar, slurm, or the full name of a class, such as "
            "my_app.CustomScheduler."
        )
    module = _import(module_name, name)
    found: object = getattr(module, class_name, None)
    if found is None:
        place = getattr(module, "__file__", None) or module_name
        raise OptionError(f"Scheduler {name} not found: {place} has no class {class_name}.")
    if not (isinstance(found, type) and issubclass(found, Scheduler)):
        raise OptionError(f"{name} is not a scheduler: it must be a subclass of {Scheduler}.")
    kind: type[Scheduler] = found
    at_top = getattr(sys.modules[kind.__module__], kind.__qualname__, None)
    if at_top != kind or kind.__module__ == "__main__":
        raise OptionError(
            f"{name} must be defined at the top level of a module that can be imported, where 'mlxp resume' finds it."
        )
    if problems := [*_missing(kind)] or [*_wrong_attributes(kind), *_wrong_methods(kind)]:
        raise OptionError(
            f"The scheduler class {name} {'; it '.join(problems)}. See help({Scheduler.__module__}."
            f"{Scheduler.__name__})."
        )
    return kind


def _import(module_name: str, name: str) -> ModuleType:
    try:
        return import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and f"{module_name}.".startswith(f"{error.name}."):
            raise OptionError(
                f"Scheduler {name} not found: there is no module {error.name}. Python looks for it next to the "
                "application's main file and among the installed packages."
            ) from error
        raise _broken(name, module_name, error) from error
    except (Exception, SystemExit) as error:
        raise _broken(name, module_name, error) from error


def _broken(name: str, module_name: str, error: BaseException) -> OptionError:
    last = traceback.extract_tb(error.__traceback__)[-1]
    place = "" if isinstance(error, SyntaxError) else f" ({last.filename}, line {last.lineno})"
    return OptionError(
        f"The scheduler {name} cannot be loaded: importing {module_name} fails: {error_text(error)}{place}"
    )


def _missing(kind: type[Scheduler]) -> Iterator[str]:
    """Yield what a class lacks, as a predicate for its name."""
    lacks = [name for name in _REQUIRED if not getattr(kind, name, None)]
    lacks += [f"the method {name}" for name in sorted(kind.__abstractmethods__)]
    if kind.implements("states_command") and not kind.implements("parse_states", "query_states"):
        lacks.append("the method parse_states, which states_command needs")
    if kind.task_id_expression and kind.array_directives is Scheduler.array_directives:
        lacks.append("the method array_directives, which task_id_expression needs")
    if kind.task_id_expression and kind.implements("parse_job_ids") and kind.own_job_id is Scheduler.own_job_id:
        lacks.append("the property own_job_id, by which each task records its own id from parse_job_ids")
    if lacks:
        yield "lacks " + " and ".join([", ".join(lacks[:-1]), lacks[-1]] if len(lacks) > 1 else lacks)


def _wrong_attributes(kind: type[Scheduler]) -> Iterator[str]:
    """Yield attributes with a wrong value, as a predicate for the name of the class."""
    for name in [name for name in (*_REQUIRED, *_PATTERNS) if name not in _WORDS]:
        if not isinstance(getattr(kind, name), str):
            yield f"has {name} = {getattr(kind, name)!r}, which must be a string"
            return
    for name in _WORDS:
        value = getattr(kind, name)
        if not (isinstance(value, tuple) and all(isinstance(word, str) for word in value)):
            example = tuple(value.split()) if isinstance(value, str) else ("qsub", "-V")
            yield f"has {name} = {value!r}, which must be a tuple of strings, such as {example!r}"
    for name in _PATTERNS:
        try:
            groups = re.compile(pattern := getattr(kind, name)).groups
        except re.error as error:
            yield f"has {name} = {getattr(kind, name)!r}, which is not a valid regular expression ({error})"
            continue
        if name != "job_id_pattern" or kind.implements("parse_job_ids"):
            continue
        if re.search(pattern, _REFUSAL, re.MULTILINE):
            yield f"has {name} = {pattern!r}, which finds a job id in {_REFUSAL!r}: begin it with ^ and end it with $"
        if groups != 1:
            yield f"has {name} = {pattern!r}, which must have exactly one group, the job id, not {groups}"
    if not kind.directive_prefix.startswith("#"):
        yield f"has directive_prefix = {kind.directive_prefix!r}, which must begin with # (shells read it, too)"
    if not kind.job_id_variable.isidentifier():
        yield f"has job_id_variable = {kind.job_id_variable!r}, which must be the name of a variable, without $"
    if not (isinstance(kind.options_class, type) and issubclass(kind.options_class, BatchOptions)):
        yield f"has options_class = {kind.options_class!r}, which must be a subclass of {BatchOptions}"


def _wrong_methods(kind: type[Scheduler]) -> Iterator[str]:
    """Yield methods that cannot be called like those of Scheduler, as a predicate for the name of the class."""
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
