"""Tracking: runs somebody's training script as Python would and attaches a lens to it, without a change to the script.

Nothing here imports torch before the script does: a script may set environment variables first that torch reads at import.
"""
