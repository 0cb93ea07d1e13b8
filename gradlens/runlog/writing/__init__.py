"""Writes a run to disk: makes its folder, buffers rows and events, and appends them to files."""
