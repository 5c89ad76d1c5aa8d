"""From the call of Hydra's launcher to a launch, and waiting for its results."""
