"""One launch on disk: planned, submitted, recorded, resumable. Does not depend on Hydra."""
