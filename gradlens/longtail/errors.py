"""The errors of the long-tail lab."""

from __future__ import annotations


class LongTailError(ValueError):
    """A request or data that the lab cannot use; the message names the offending value and the fix."""


class DatasetNotFoundError(LongTailError):
    """A data set that is not on this machine; the message says where it was looked for and how to get it."""
