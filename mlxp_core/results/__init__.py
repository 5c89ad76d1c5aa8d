"""Runs as data: rows, columns, conditions and live views."""
