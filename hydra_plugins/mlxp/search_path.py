"""A warning of Hydra 1.4 that is no news: our own callbacks are targets that a user's Python environment vouches for.

Hydra 1.4 warns of every callback in a configuration whose target the application does not list in
`execution_whitelist`, and an application that never imports us has no reason to list ours. Warnings of other targets
stay. A search path plugin is what Hydra calls in every program after it has imported the plugins and before it makes
the callbacks.
"""

from __future__ import annotations

import warnings

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class CallbackWarnings(SearchPathPlugin):
    """Adds nothing to the search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        warnings.filterwarnings(
            "ignore", message=r"hydra\.utils\.instantiate\(\) resolved _target_='mlxp_core\.callbacks\."
        )
