"""Functions that all hooks share; the only place that turns our errors into SystemExit.

Hydra shows any other exception of a callback as a UserWarning and continues.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar, cast

from omegaconf import DictConfig

from mlxp_core.errors import MlxpError, RunActiveError
from mlxp_core.runs.directory import RunDirectory
from mlxp_core.runs.start_lock import REFUSED

Hook = TypeVar("Hook", bound=Callable[..., None])


def stops_hydra(hook: Hook) -> Hook:
    """Make every error of a callback's hook end the program with a message and exit status 1."""

    @wraps(hook)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            hook(*args, **kwargs)
        except RunActiveError as error:
            # Not the exit status of a failure: the script must leave the record of the run to the other start
            print(f"mlxp: {error}", file=sys.stderr, flush=True)
            raise SystemExit(REFUSED) from error
        except MlxpError as error:
            raise SystemExit(str(error)) from error
        except Exception as error:
            traceback.print_exc()
            raise SystemExit(f"Internal error of hydra-mlxp in {hook.__qualname__}: {error}") from error

    return cast(Hook, guarded)


def in_job(config: DictConfig) -> bool:
    """Return whether this process is a job of one of our launchers, whose run directory and record exist already."""
    return "mlxp_job" in config.hydra.callbacks


def run_directory(config: DictConfig) -> RunDirectory:
    """Return the directory of the current run."""
    return RunDirectory(Path(config.hydra.runtime.output_dir), config.hydra.output_subdir)
