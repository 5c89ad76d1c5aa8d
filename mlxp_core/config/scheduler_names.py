"""Short names for the schedulers of this package, as users write them in mlxpy.yaml and on the command line."""

from __future__ import annotations

_CLASSES = {"oar": "OARScheduler", "slurm": "SLURMScheduler"}


def class_name_of(name: str) -> str:
    """Return the name of the class for a short name (`slurm`, `OAR`), and any other name unchanged."""
    return _CLASSES.get(name.lower(), name)
