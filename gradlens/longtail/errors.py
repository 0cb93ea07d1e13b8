"""The errors of the long-tail lab."""

from __future__ import annotations


class LongTailError(ValueError):
    """The lab cannot use a request or some data. The message names the wrong value and the fix."""


class DatasetNotFoundError(LongTailError):
    """A data set is not on this machine. The message says where it was looked for and how to get it."""
