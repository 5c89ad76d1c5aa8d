"""Metrics files: written in the job, read by the listing."""
