"""The error of a mirror."""

from __future__ import annotations


class MirrorError(ValueError):
    """The run cannot be mirrored. The message says the cause and the fix."""
