"""Errors in a scheduler class of a user, reported with the name of the class and of the method."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlxp_core.errors import MlxpError, OptionError


def class_name(kind: type) -> str:
    """Return the name of a class as users write it: `my_app.CustomScheduler`."""
    return f"{kind.__module__}.{kind.__qualname__}"


def file_of(kind: type) -> str:
    """Return the file of a class, from its code: another module may have its module's name by now."""
    functions = (value for parent in kind.__mro__ for value in vars(parent).values() if inspect.isfunction(value))
    return next(functions).__code__.co_filename


@contextmanager
def class_errors_reported(kind: type) -> Iterator[None]:
    """Turn an exception from the code of a scheduler class into one sentence; other exceptions pass unchanged.

    Raises:
        OptionError: The code of the class raised an exception.
    """
    try:
        yield
    except MlxpError:
        raise
    except Exception as error:
        modules = {parent.__module__ for parent in kind.__mro__ if parent.__module__.partition(".")[0] != "mlxp_core"}
        frames = [frame for frame in traceback.walk_tb(error.__traceback__) if _module(frame) in modules]
        if not frames:
            raise
        frame, line = frames[-1]
        code = frame.f_code
        raise OptionError(
            f"The scheduler class {class_name(kind)} failed in {code.co_name} ({code.co_filename}, line {line}): "
            f"{error_text(error)}."
        ) from error


def _module(frame_and_line: tuple[FrameType, int]) -> str:
    return str(frame_and_line[0].f_globals.get("__name__"))


def error_text(error: BaseException) -> str:
    """Return the type and the message of an exception: `ValueError: no number`."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")
