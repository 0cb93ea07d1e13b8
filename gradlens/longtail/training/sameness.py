"""Says whether two objects have the same parts, so that a training with one is the same as with the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import nn


def same(a: Any, b: Any) -> bool:
    """Says whether two objects are the same, part by part.

    - Values are the same if they are equal and have the same type.
    - Tensors are the same if their values, dtype and layout are equal.
    - Functions are the same if they are the same object.
    - Methods, partials, dataclasses, modules, mappings (also their order) and sequences are the same if all their parts are.
    - All other objects are different, unless they are the same object. In doubt the answer is no.

    Args:
        a: One object.
        b: The other object.
    """
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, (bool, int, float, complex, str, bytes, set, frozenset)):
        return bool(a == b)
    if isinstance(a, torch.Tensor):
        return _same_tensors(a, b)
    if isinstance(a, nn.Module):
        return same(vars(a), vars(b))
    if isinstance(a, Mapping):
        return same(list(a), list(b)) and same(list(a.values()), list(b.values()))
    if isinstance(a, (tuple, list)):
        return len(a) == len(b) and all(same(*pair) for pair in zip(a, b, strict=True))
    if isinstance(a, MethodType):
        return a.__func__ is b.__func__ and same(a.__self__, b.__self__)
    if isinstance(a, partial):
        return same((a.func, a.args, a.keywords), (b.func, b.args, b.keywords))
    if is_dataclass(a):
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in fields(a))
    return False


def _same_tensors(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (
        a.dtype == b.dtype
        and a.shape == b.shape
        and a.stride() == b.stride()
        and a.requires_grad == b.requires_grad
        and torch.equal(a, b)
    )
