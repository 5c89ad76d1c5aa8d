"""The launchers. They implement Hydra's interface, and import mlxp_core when they are used."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hydra.core.utils import JobReturn
from hydra.errors import CompactHydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from hydra.utils import get_method
from omegaconf import DictConfig

from hydra_plugins.mlxp import config as _config  # noqa: F401  # Hydra 1.4 imports only this module, by its entry point


class MlxpLauncher(Launcher):
    """Base class of our launchers. Hydra creates one per sweep and calls `launch` once per batch."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    @property
    @abstractmethod
    def sweep_class(self) -> str:
        """The dotted name of the class or function that creates the sweep."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Create the sweep, which checks what can be checked before Hydra writes anything.

        Raises:
            CompactHydraException: The sweep cannot be launched; Hydra shows this error without a traceback.
        """
        with _shown_by_hydra():
            # Imported here, because Hydra imports this module in every program, and few launch a sweep with it
            self.sweep = get_method(self.sweep_class)(
                self.options, config=config, hydra_context=hydra_context, task_function=task_function
            )

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Launch one batch of jobs; return the results that are known, which may be none."""
        with _shown_by_hydra():
            results: Sequence[JobReturn] = self.sweep.launch(job_overrides, initial_job_idx)
            return results


class SLURMLauncher(MlxpLauncher):
    """hydra/launcher=slurm"""

    sweep_class = "mlxp_core.sweeps.batch.slurm_sweep"


class OARLauncher(MlxpLauncher):
    """hydra/launcher=oar"""

    sweep_class = "mlxp_core.sweeps.batch.oar_sweep"


class MLXPLauncher(MlxpLauncher):
    """hydra/launcher=mlxp"""

    sweep_class = "mlxp_core.sweeps.project.project_sweep"


class LocalLauncher(MlxpLauncher):
    """hydra/launcher=local"""

    sweep_class = "mlxp_core.sweeps.local.LocalSweep"


@contextmanager
def _shown_by_hydra() -> Iterator[None]:
    from mlxp_core.errors import MlxpError

    try:
        yield
    except MlxpError as error:
        raise CompactHydraException(str(error)) from error
