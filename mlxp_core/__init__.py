"""The work behind the Hydra plugins of hydra-mlxp."""

__version__ = "0.1.0"
