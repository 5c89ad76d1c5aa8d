"""Silence a warning of Hydra 1.4 about our callbacks.

Hydra 1.4 warns about every callback whose target the application does not list in `execution_whitelist`. An
application that never imports us has no reason to list ours, which the user installed. Warnings about other targets
stay. This is a search path plugin because Hydra calls those after it has imported the plugins and before it creates the
callbacks.
"""

from __future__ import annotations

import warnings

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class CallbackWarnings(SearchPathPlugin):
    """Filter the warnings; add nothing to the search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        warnings.filterwarnings(
            "ignore", message=r"hydra\.utils\.instantiate\(\) resolved _target_='mlxp_core\.callbacks\."
        )
