"""Jobs that run a pickled task function, for applications that no command line starts: notebooks, hydra-zen's launch.

    python -m mlxp_core.jobs.function_job FUNCTION.PICKLE [OVERRIDES OF THE SWEEP] -- [OVERRIDES OF HYDRA-MLXP]

Job scripts on disk contain this command line: the name of this module and its arguments must not change.
"""

from __future__ import annotations

import os
import site
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.singleton import Singleton
from hydra.core.utils import run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from mlxp_core.config.override_grammar import literal
from mlxp_core.errors import AppCommandError
from mlxp_core.files import cannot_write
from mlxp_core.jobs.app_command import AppCommand, split_interpreter_options
from mlxp_core.jobs.script import RUN_MARKER

END_OF_OVERRIDES = "--"
_FILE = "function.pickle"


def function_command(directory: Path, config: DictConfig) -> AppCommand:
    """Return the command that runs the function pickled in a directory.

    Args:
        directory: Directory of the launch.
        config: Configuration of the sweep.
    """
    interpreter_options, _ = split_interpreter_options(sys.orig_argv[1:])
    return AppCommand(
        start=(sys.executable, *interpreter_options, "-m", "mlxp_core.jobs.function_job", str(directory / _FILE)),
        hydra_options=(),
        cwd=Path(config.hydra.runtime.cwd),
        environment={"PYTHONPATH": os.pathsep.join(_import_path())},
        env_copy={name: os.environ[name] for name in config.hydra.job.env_copy if name in os.environ},
    )


def _import_path() -> list[str]:
    """Return the directories in which this process finds modules; jobs need them for objects that are pickled by name.

    The interpreter's own directories are left out, because all Python programs that a job starts see PYTHONPATH.
    """
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    own |= {*site.getsitepackages(), site.getusersitepackages()}
    own |= {f"{path}/lib-dynload" for path in own} | {f"{path.replace('python3.', 'python3')}.zip" for path in own}
    return [path for path in dict.fromkeys(map(os.path.abspath, sys.path)) if path not in own]


def pickle_function(
    directory: Path, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
) -> None:
    """Write everything that a job needs to run the function, once for all jobs of a launch.

    Raises:
        AppCommandError: The function cannot be pickled.
        RunDirectoryError: The file cannot be written.
    """
    from submitit.core.utils import DelayedSubmission

    job = DelayedSubmission(_run, hydra_context, task_function, config, Singleton.get_state())
    file = directory / _FILE
    try:
        job.dump(file)
    except OSError as error:
        raise cannot_write(file, error) from error
    except Exception as error:  # what pickle raises depends on the object
        raise AppCommandError(
            f"No command line starts this application again, and its function cannot be pickled ({error}). Put the "
            "function into a file, and start it with 'python file.py -m ...'."
        ) from error


def _run(
    hydra_context: HydraContext,
    task_function: TaskFunction,
    config: DictConfig,
    singletons: Any,
    overrides: Sequence[str],
    job_options: dict[str, Any],
) -> None:
    """Run one job as Hydra's basic launcher does; raise what the function raises."""
    Singleton.set_state(singletons)
    setup_globals()
    loader: Any = hydra_context.config_loader
    # Composed by Hydra: the faster way is for many jobs, and its results cannot be copied
    job_config = ConfigLoaderImpl.load_sweep_config(loader, config, list(overrides))
    callback = dict(job_options["callbacks"]["mlxp_job"])
    callback_class = get_class(callback.pop("_target_"))
    with read_write(job_config.hydra), open_dict(job_config.hydra):
        job_config.hydra.job.update(job_options["job"])
        job_config.hydra.callbacks["mlxp_job"] = job_options["callbacks"]["mlxp_job"]
        # hydra.sweep may give another directory here, because it can depend on the environment
        job_config.hydra.run.dir = literal(os.environ[RUN_MARKER])
    hydra_context.callbacks.callbacks.append(callback_class(**callback))
    job_return = run_job(
        hydra_context=hydra_context,
        task_function=task_function,
        config=job_config,
        job_dir_key="hydra.run.dir",
        job_subdir_key=None,
    )
    job_return.return_value  # noqa: B018  # raises the function's exception


def main(words: Sequence[str]) -> None:
    """Run the job that the command line of a script describes."""
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
