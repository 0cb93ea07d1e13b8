"""Reads a run from disk."""
