"""JSON that every parser accepts: no NaN, no Infinity, no Python objects."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np


def dumps(value: Any, indent: int | None = None) -> str:
    """Returns strict JSON; numbers that JSON lacks become null, objects that it lacks become text."""
    return json.dumps(strict(value), allow_nan=False, ensure_ascii=False, indent=indent)


def strict(value: Any) -> Any:
    """Returns ``value`` made of dict, list, str, int, finite float, bool and None alone."""
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
