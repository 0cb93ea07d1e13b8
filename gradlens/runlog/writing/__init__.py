"""Writes a run to disk."""
