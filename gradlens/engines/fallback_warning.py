"""Hides torch's warning that an operation has no batching rule. torch then loops over the batch: slow, but exact."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

_FILTER = ("ignore", re.compile("There is a performance drop"), Warning, None, 0)


@contextmanager
def no_fallback_warning() -> Iterator[None]:
    """Ignores this warning inside the ``with`` block.

    ``warnings.catch_warnings`` is no way to do it. Python would forget which warnings it has shown, and would show the
    training's own warnings again after each measured step. A change of the list of filters has no such effect.
    """
    filters = cast(list[Any], warnings.filters)
    filters.insert(0, _FILTER)
    try:
        yield
    finally:
        if _FILTER in filters:
            filters.remove(_FILTER)
