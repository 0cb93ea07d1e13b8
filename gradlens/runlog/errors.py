"""Errors about a folder that should hold a run, or should become one."""

from __future__ import annotations


class RunError(ValueError):
    """A run cannot be written or read. The message says the cause and the fix."""


class NotARun(RunError):
    """The folder or file was not written by gradlens."""


class RunTooNew(RunError):
    """A later version of gradlens has written the run, with a schema that this version does not know."""


class RunExistsError(RunError):
    """The folder is not empty, or another process is still writing the run."""


class RunLogWarning(RuntimeWarning):
    """The log cannot be written at the moment. The training goes on."""
