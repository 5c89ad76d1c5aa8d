"""Our Hydra callbacks, by the names that configurations use.

Each is imported when it is used: a job needs little of what a launch needs, and starts faster without the rest.
"""

from __future__ import annotations

from importlib import import_module

_MODULES = {
    "LoggingCallback": "logging_callback",
    "JobCallback": "job_callback",
    "VersioningCallback": "versioning_callback",
}

__all__ = ["JobCallback", "LoggingCallback", "VersioningCallback"]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
