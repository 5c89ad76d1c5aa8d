"""Jobs of functions that no command line can start (a notebook's, hydra-zen's launch): the function itself is carried.

python -m mlxp_core.function_job FUNCTION.PICKLE [OVERRIDES OF THE SWEEP] -- [OVERRIDES OF OURS]
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.singleton import Singleton
from hydra.core.utils import run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mlxp_core.app_command import AppCommand
from mlxp_core.errors import AppCommandError

END_OF_OVERRIDES = "--"
_FILE = "function.pickle"


def function_command(directory: Path, config: DictConfig) -> AppCommand:
    """How a job runs the function that is pickled in a directory."""
    cwd = Path(config.hydra.runtime.cwd)
    # A function that is imported is found where this process would find it
    paths = [os.path.abspath(path) for path in sys.path]
    return AppCommand(
        start=(sys.executable, "-m", "mlxp_core.function_job", str(directory / _FILE)),
        hydra_options=(),
        cwd=cwd,
        environment={"PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))},
        env_copy={name: os.environ[name] for name in config.hydra.job.env_copy if name in os.environ},
    )


def pickle_function(
    directory: Path, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
) -> None:
    """Write all that a job needs to run the function, once for all jobs of a launch.

    Raises:
        AppCommandError: it cannot be pickled.
    """
    from submitit.core.utils import DelayedSubmission

    job = DelayedSubmission(_run, hydra_context, task_function, config, Singleton.get_state())
    try:
        job.dump(directory / _FILE)
    except Exception as error:  # what pickle raises depends on what it meets
        raise AppCommandError(
            f"No command line starts this application again, and its function cannot be pickled ({error}): put it into "
            "a file and start that with 'python file.py -m ...'."
        ) from error


def _run(
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    singletons: Any,
    overrides: Sequence[str],
    job_options: dict[str, Any],
) -> None:
    """Run one job as Hydra's basic launcher does; raises what the function raises."""
    from mlxp_core.callbacks import JobCallback

    Singleton.set_state(singletons)
    setup_globals()
    job_config = hydra_context.config_loader.load_sweep_config(config, list(overrides))
    callback = {key: value for key, value in job_options["callbacks"]["mlxp_job"].items() if key != "_target_"}
    with read_write(job_config.hydra), open_dict(job_config.hydra):
        job_config.hydra.job.update(job_options["job"])
        job_config.hydra.callbacks["mlxp_job"] = job_options["callbacks"]["mlxp_job"]
    hydra_context.callbacks.callbacks.append(JobCallback(**callback))
    job_return = run_job(
        hydra_context=hydra_context,
        task_function=task_function,
        config=job_config,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
    )
    job_return.return_value  # noqa: B018  # raises what the function raised


def main(words: Sequence[str]) -> None:
    """Run the job that a script's command line describes."""
    from submitit.core.utils import DelayedSubmission

    end = len(words) - 1 - list(words)[::-1].index(END_OF_OVERRIDES)
    ours = OmegaConf.from_dotlist([word.lstrip("+") for word in words[end + 1 :]])
    options: Any = OmegaConf.to_container(ours.hydra, resolve=True)
    options["job"]["id"] = str(options["job"]["id"])
    job = DelayedSubmission.load(words[0])
    job.args = (*job.args, list(words[1:end]), options)
    job.result()


if __name__ == "__main__":
    main(sys.argv[1:])
