"""Run directories: their numbers, records and journals on disk, and reading them back."""
