"""TeamError: a training in several processes cannot be measured."""

from __future__ import annotations


class TeamError(RuntimeError):
    """The processes cannot be measured together. The message says the cause and the fix."""
