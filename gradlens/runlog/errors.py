"""What can be wrong with a folder that should hold, or should become, a run."""

from __future__ import annotations


class RunError(ValueError):
    """A run that cannot be written or read; the message says the cause and the fix."""


class NotARun(RunError):
    """A folder that gradlens did not write."""


class RunTooNew(RunError):
    """A run written by a later version of gradlens, with a schema that this one does not know."""


class RunExistsError(RunError):
    """A folder that already holds something, or a run that another process is still writing."""


class RunLogWarning(RuntimeWarning):
    """The log could not be written for now; training goes on."""
