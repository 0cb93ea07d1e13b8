"""Tracking: runs an unmodified training script as ``python`` would, and measures its training.

Nothing here imports torch before the script does. A script may first set environment variables that torch reads at import.
"""
