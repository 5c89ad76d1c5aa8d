"""Mistakes in a scheduler's class that a user wrote: each is told by the name of the class, and of the method."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from mlxp_core.errors import MlxpError, OptionError


def class_name(kind: type) -> str:
    """The name by which a user knows a class: `my_app.CustomScheduler`."""
    return f"{kind.__module__}.{kind.__qualname__}"


@contextmanager
def mistakes_named(kind: type) -> Iterator[None]:
    """Tell an error that the code of a scheduler's class makes in one sentence; what is not its own stays as it is.

    Raises:
        OptionError: the class failed.
    """
    try:
        yield
    except MlxpError:
        raise
    except Exception as error:
        if kind.__module__.startswith("mlxp_core."):
            raise
        file = inspect.getsourcefile(kind)
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
        if not own:
            raise
        raise OptionError(
            f"The scheduler's class {class_name(kind)} failed in {own[-1].name} ({file}, line {own[-1].lineno}): "
            f"{shown(error)}."
        ) from error


def shown(error: BaseException) -> str:
    """An error in a few words: its type and its text."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")
