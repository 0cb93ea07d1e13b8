"""The category of what gradlens says through ``warnings``."""

from __future__ import annotations


class GradlensWarning(RuntimeWarning):
    """Something about a measurement that the user should know; training is untouched."""
