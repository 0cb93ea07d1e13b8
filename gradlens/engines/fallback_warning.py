"""Keeps torch from saying that an operation has no batching rule, in which case it loops: slow but exact."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

_FILTER = ("ignore", re.compile("There is a performance drop"), Warning, None, 0)


@contextmanager
def no_fallback_warning() -> Iterator[None]:
    """Ignores that warning inside.

    ``warnings.catch_warnings`` would make Python forget which warnings it has shown, on entry and on exit, so that those of the
    training would be shown again after each measured step. The list of filters is read at every warning, without that.
    """
    filters = cast(list[Any], warnings.filters)
    filters.insert(0, _FILTER)
    try:
        yield
    finally:
        if _FILTER in filters:
            filters.remove(_FILTER)
