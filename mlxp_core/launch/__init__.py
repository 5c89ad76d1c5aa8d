"""One launch on disk: planned, submitted, recorded, resumable. Nothing here knows Hydra."""
