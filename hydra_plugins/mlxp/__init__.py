"""The plugins of hydra-mlxp that Hydra discovers: option schemas and launchers. They import mlxp_core when used."""
