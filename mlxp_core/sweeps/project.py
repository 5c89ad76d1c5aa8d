"""hydra/launcher=mlxp: a sweep on the scheduler that the project has, or that the user chooses now."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hydra.types import HydraContext
from omegaconf import DictConfig

from mlxp_core.config.options import BatchOptions, LocalOptions
from mlxp_core.config.settings_file import NO_SCHEDULER
from mlxp_core.schedulers.choice import resolve_scheduler
from mlxp_core.schedulers.loading import load_scheduler
from mlxp_core.sweeps.batch import BatchSweep
from mlxp_core.sweeps.checks import check_outside_runs
from mlxp_core.sweeps.local import LocalSweep
from mlxp_core.sweeps.sweep import Sweep, resolved_version


def project_sweep(options: dict[str, Any], *, config: DictConfig, hydra_context: HydraContext, **hydra: Any) -> Sweep:
    """The sweep of hydra/launcher=mlxp.

    Raises:
        MlxpError: as for any sweep; or the scheduler's name is not one, or nobody can be asked for it.
    """
    check_outside_runs()
    resolved = resolved_version(hydra_context)
    name = resolve_scheduler(config, resolved.version if resolved else None)
    # The scheduler's own options alone: the schema of this launcher has those of all
    own = {key: value for key, value in options.items() if key not in ("name", "job_name")}
    own["name"] = options.get("job_name")
    hydra = {"config": config, "hydra_context": hydra_context, **hydra}
    if name == NO_SCHEDULER:
        batch = {option.name for option in fields(BatchOptions)} - {option.name for option in fields(LocalOptions)}
        return LocalSweep({key: value for key, value in own.items() if key not in batch}, **hydra)
    own.pop("n_jobs", None)
    return BatchSweep(own, scheduler_class=load_scheduler(name), **hydra)
