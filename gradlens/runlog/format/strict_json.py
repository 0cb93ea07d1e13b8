"""Writes JSON that every parser accepts (no NaN, no Infinity, no Python objects), and reads JSON from any source."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from gradlens.guards.printable import printable

DEEPEST = 64
# What is not in a text of printable ASCII characters without escapes.
ODD = re.compile(rb"[^\n\x20-\x5b\x5d-\x7e]")


def dumps(value: Any, indent: int | None = None) -> str:
    """Returns strict JSON. NaN and infinities become null, and Python objects become text."""
    return json.dumps(strict(value), allow_nan=False, ensure_ascii=False, indent=indent)


def loads(text: bytes | bytearray | str) -> Any:
    """Reads JSON from any source.

    Raises:
        ValueError: The text is no JSON, or it is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def read(text: bytes) -> Any:
    """Reads JSON from any source, in which all texts become printable.

    Raises:
        ValueError: The text is no JSON, or it is nested too deeply.
    """
    value = loads(text)
    # A text without other characters and escapes is printable as it is. Nearly all are, and a run has thousands.
    if not ODD.search(text) and text.count(b"{") + text.count(b"[") <= DEEPEST:
        return value
    return readable(value)


def readable(value: Any, deeper: int = DEEPEST) -> Any:
    """Returns a value of ``loads`` in which all texts are printable.

    Args:
        value: The value.
        deeper: How many levels of nesting are allowed.

    Raises:
        ValueError: The value has more levels.
    """
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, (dict, list)) and not deeper:
        raise ValueError("it is nested too deeply")
    if isinstance(value, dict):
        return {printable(key): readable(item, deeper - 1) for key, item in value.items()}
    if isinstance(value, list):
        return [readable(item, deeper - 1) for item in value]
    return value


def strict(value: Any) -> Any:
    """Returns ``value`` with only dict, list, str, int, finite float, bool and None in it."""
    if value is None or isinstance(value, (bool, str)):
        return value if not isinstance(value, str) else str(value).encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.generic):
        return strict(value.item())
    if isinstance(value, Mapping):
        return {strict(str(key)): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [strict(item) for item in value]
    if callable(getattr(value, "tolist", None)):  # numpy arrays and tensors
        return strict(value.tolist())
    return strict(str(value))
