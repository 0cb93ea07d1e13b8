"""Errors of `gradlens track`: one ends the command before the training starts, the other is told while the training goes on."""

from __future__ import annotations


class TrackError(Exception):
    """The command line asks for something that cannot be done. The message says the cause and the fix."""


class WrongUse(Exception):
    """An option cannot be followed, and this shows only during the training, which goes on without being measured."""
