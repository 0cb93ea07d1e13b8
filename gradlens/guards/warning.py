"""The category of the warnings that gradlens gives."""

from __future__ import annotations


class GradlensWarning(RuntimeWarning):
    """Something that the user should know about a measurement. The training is not affected."""
