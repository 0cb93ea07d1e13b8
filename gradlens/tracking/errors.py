"""Errors of `gradlens track` that end the command before, or at the first step of, the training."""

from __future__ import annotations


class TrackError(Exception):
    """Something that the command line asked for and that cannot be done; the message says the cause and the fix."""


class WrongUse(SystemExit):
    """A wrong option that only training could show (a class id outside the classes); ends the script with exit code 2.

    A SystemExit, so that a script's ``except Exception`` does not swallow it.
    """

    def __init__(self, message: str) -> None:
        super().__init__(2)
        self.message = message
