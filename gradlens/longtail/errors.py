"""The errors of the long-tail lab."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LongTailError(ValueError):
    """The lab cannot use a request or some data. The message names the wrong value and the fix."""


class DatasetNotFoundError(LongTailError):
    """A data set is not on this machine. The message says where it was looked for and how to get it."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns "; did you mean 'X'?" with the nearest known name, in whatever case it is written; "" if none is near.

    Args:
        name: A name that is unknown.
        known: The known names.
    """
    written = {one.casefold(): one for one in known}
    close = difflib.get_close_matches(name.casefold(), written, n=1)
    return f"; did you mean {written[close[0]]!r}?" if close else ""
