"""What Hydra finds of hydra-mlxp: option schemas and launchers. The work is done in mlxp_core, imported when used."""
