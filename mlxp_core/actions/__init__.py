"""What `mlxp` does to runs: cancel, resubmit, rerun, clean."""
