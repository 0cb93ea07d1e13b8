"""Errors of `gradlens track`: one ends the command before the training starts, the other is said while it goes on."""

from __future__ import annotations


class TrackError(Exception):
    """Something that the command line asked for and that cannot be done; the message says the cause and the fix."""


class WrongUse(Exception):
    """An option that cannot be followed, as only the training could show: it goes on without being measured."""
