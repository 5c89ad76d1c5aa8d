"""hydra/launcher=mlxp: a sweep on the scheduler that the project's settings name, or that the user chooses now."""

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
from mlxp_core.sweeps.sweep import resolved_version


def project_sweep(
    options: dict[str, Any], *, config: DictConfig, hydra_context: HydraContext, **hydra: Any
) -> BatchSweep | LocalSweep:
    """Return the sweep of hydra/launcher=mlxp.

    Raises:
        MlxpError: As for any sweep, or the settings name no usable scheduler and the user did not choose one.
    """
    check_outside_runs()
    resolved = resolved_version(hydra_context)
    name = resolve_scheduler(config, resolved.version if resolved else None)
    # Only the scheduler's own options: the schema of this launcher has those of all schedulers
    own = {key: value for key, value in options.items() if key not in ("name", "job_name")}
    own["name"] = options.get("job_name")
    hydra = {"config": config, "hydra_context": hydra_context, **hydra}
    if name == NO_SCHEDULER:
        batch = {option.name for option in fields(BatchOptions)} - {option.name for option in fields(LocalOptions)}
        return LocalSweep({key: value for key, value in own.items() if key not in batch}, **hydra)
    own.pop("n_jobs", None)
    return BatchSweep(own, scheduler_class=load_scheduler(name), **hydra)
