"""The error of a training in several processes that cannot be measured."""

from __future__ import annotations


class TeamError(RuntimeError):
    """The processes cannot be measured together; the message says why, and what to do about it."""
