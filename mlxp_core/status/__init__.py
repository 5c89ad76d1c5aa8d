"""The true status of a run, from its record, its scheduler and this machine."""
