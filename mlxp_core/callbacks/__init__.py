"""Our Hydra callbacks, by the names that configurations use."""

from mlxp_core.callbacks.numbering import LoggingCallback
from mlxp_core.callbacks.recording import JobCallback
from mlxp_core.callbacks.versioning import VersioningCallback

__all__ = ["JobCallback", "LoggingCallback", "VersioningCallback"]
