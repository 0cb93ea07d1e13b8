"""Scalars that a training reports. One on a GPU is copied to the host without waiting for the device."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from operator import index
from typing import TYPE_CHECKING, Any, SupportsIndex

from gradlens.runlog.format.events import LARGEST_STEP
from gradlens.runlog.format.logged import check_name

if TYPE_CHECKING:
    from torch import Tensor


class Arriving:
    """A number on its way from a GPU to the host.

    It is a copy: the training may go on and change the tensor.
    """

    def __init__(self, tensor: Tensor) -> None:
        """Starts the copy. It waits for nothing.

        Args:
            tensor: A CUDA tensor of one element.
        """
        import torch

        with torch.no_grad(), torch.cuda.device(tensor.device):
            self._host = torch.empty((), dtype=torch.float64, pin_memory=True)
            self._host.copy_(tensor.detach().reshape(()).to(torch.float64), non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    @property
    def there(self) -> bool:
        """Whether the number has arrived, or never will: the device has failed."""
        try:
            return bool(self._copied.query())  # type: ignore[no-untyped-call]
        except RuntimeError:
            return True

    def __float__(self) -> float:
        """Waits for the number. If the device has failed, it is NaN."""
        try:
            self._copied.synchronize()
        except RuntimeError:
            return math.nan
        return float(self._host)


def check(step: Any, values: Mapping[str, Any]) -> None:
    """Checks what is to be logged.

    Args:
        step: A whole number from 0, or None.
        values: Name -> a number, or a tensor or array of one element.

    Raises:
        TypeError: The step is no whole number, or a value is no number and has not exactly one element, or is complex.
        ValueError: The step is negative, or a name cannot be used.
    """
    if step is not None and not isinstance(step, SupportsIndex):
        raise TypeError(f"log: step={step!r} is no whole number")
    if step is not None and not 0 <= index(step) < LARGEST_STEP:
        raise ValueError(f"log: step={step!r}; steps begin with 0")
    for name, value in values.items():
        check_name(name)
        _check_value(name, value)


def _check_value(name: str, value: Any) -> None:
    if isinstance(value, (int, float)):
        return
    elements = getattr(value, "numel", None)  # a tensor
    size = elements() if callable(elements) else getattr(value, "size", None)
    if size != 1 or "complex" in str(getattr(value, "dtype", "")):
        shape = getattr(value, "shape", None)
        what = f"a {type(value).__name__}" + (f" of shape {tuple(shape)}" if isinstance(shape, tuple) else "")
        raise TypeError(f"log: {name} is {what}; give a number, or a tensor of one element (losses.mean())")


def as_number(value: Any) -> float | Arriving:
    """Returns a checked value as a number, at once or as soon as a GPU has delivered it."""
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return Arriving(value) if value.device.type == "cuda" else float(value.detach().reshape(()))
    try:
        return float(value.item() if hasattr(value, "item") else value)
    except OverflowError:  # an integer beyond all floats
        return math.inf
