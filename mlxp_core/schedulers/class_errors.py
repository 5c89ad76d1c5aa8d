"""Mistakes in a scheduler's class that a user wrote: each is told by the name of the class, and of the method."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from mlxp_core.errors import MlxpError, OptionError


def class_name(kind: type) -> str:
    """The name by which a user knows a class: `my_app.CustomScheduler`."""
    return f"{kind.__module__}.{kind.__qualname__}"


def file_of(kind: type) -> str:
    """The file of a class, from its code: its module may be another one by now."""
    functions = (value for parent in kind.__mro__ for value in vars(parent).values() if inspect.isfunction(value))
    return next(functions).__code__.co_filename


@contextmanager
def class_errors_reported(kind: type) -> Iterator[None]:
    """Tell an error that the code of a scheduler's class makes in one sentence; what is not its own stays as it is.

    Raises:
        OptionError: the class failed.
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
            f"The scheduler's class {class_name(kind)} failed in {code.co_name} ({code.co_filename}, line {line}): "
            f"{shown(error)}."
        ) from error


def _module(frame_and_line: tuple[FrameType, int]) -> str:
    return str(frame_and_line[0].f_globals.get("__name__"))


def shown(error: BaseException) -> str:
    """An error in a few words: its type and its text."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")
