"""The work behind the Hydra plugins of hydra-mlxp, and `read_runs` for analyses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlxp_core.results.collection import Runs, read_runs

__all__ = ["Runs", "read_runs"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Every Hydra program imports this package: what analyses need is imported when they ask for it
    if name in __all__:
        from mlxp_core.results import collection

        return getattr(collection, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
