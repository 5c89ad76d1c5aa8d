"""The one place that turns our errors into SystemExit, and what all hooks ask of a configuration.

Hydra swallows any other exception of a callback and goes on (a UserWarning is all that is seen of it).
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import DictConfig

from mlxp_core.errors import MlxpError
from mlxp_core.runs.directory import RunDirectory

Hook = TypeVar("Hook", bound=Callable[..., None])


def stops_hydra(hook: Hook) -> Hook:
    """Make every error of a callback's hook end the program, with exit status 1 and a message."""

    @wraps(hook)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            hook(*args, **kwargs)
        except MlxpError as error:
            raise SystemExit(str(error)) from error
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(f"hydra-mlxp stopped in {hook.__qualname__}, please report this: {error}") from error

    return cast(Hook, guarded)


def in_job(config: DictConfig) -> bool:
    """Whether this process runs a job of one of our launchers, which has its directory and its record already."""
    return "mlxp_job" in config.hydra.callbacks


def run_directory(config: DictConfig) -> RunDirectory:
    """The directory of the run that goes on."""
    return RunDirectory(Path(config.hydra.runtime.output_dir), config.hydra.output_subdir)
