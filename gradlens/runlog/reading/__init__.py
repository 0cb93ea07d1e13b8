"""Reads a run from disk, also while it is written and after a crash."""
