"""The oracle: float64 brute force, one backward of the masked loss for each group, and nothing of the engines."""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from tests.engines.zoo import CLASSES, GROUPS, ZOO


def masses(labels: Tensor) -> list[Tensor]:
    """Per group, the fraction of every row that belongs to it."""
    if labels.is_floating_point():
        return [labels[:, list(classes)].sum(1) / labels.sum(1) for classes in GROUPS.classes]
    return [torch.isin(labels, torch.tensor(classes)).double() for classes in GROUPS.classes]


class Gates(TorchFunctionMode):
    """Notes which ReLUs let through, or repeats what was noted.

    Where an activation is within rounding of zero, float32 and float64 differentiate different linear pieces; with the
    gates of the float32 pass, float64 differentiates the same one.
    """

    def __init__(self, noted: list[Tensor] | None = None) -> None:
        super().__init__()
        self.noted: list[Tensor] = []
        self.repeat = None if noted is None else iter(noted)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in (F.relu, torch.relu, Tensor.relu):
            return func(*args, **(kwargs or {}))
        if self.repeat is not None:
            return args[0] * next(self.repeat)
        output = func(*args, **(kwargs or {}))
        self.noted.append(output.detach() > 0)
        return output


@cache
def brute_force(name: str, seed: int = 7) -> tuple[tuple[Tensor | None, ...], ...]:
    """Per group, the gradient of every trainable parameter, float64; ``seed`` is that of the forward pass."""
    case = ZOO[name]
    model, inputs, labels = case.build()
    assert int(labels.max() if not labels.is_floating_point() else 0) < CLASSES
    torch.manual_seed(seed)
    with Gates() as gates:
        copy.deepcopy(model)(*inputs)
    inputs = tuple(x.double() if x.is_floating_point() else x for x in inputs)
    found = []
    for mass in masses(labels):
        twin = copy.deepcopy(model).double()
        torch.manual_seed(seed)
        with Gates(gates.noted):
            output = twin(*inputs)
        rows = case.loss(output, labels.double() if labels.is_floating_point() else labels)
        ((rows * mass).sum() / rows.numel()).backward()
        found.append(tuple(p.grad for p in twin.parameters() if p.requires_grad))
    return tuple(found)


def error(found: list[Tensor | None], truth: tuple[Tensor | None, ...]) -> float:
    """|found - truth| / |truth| over all parameters; None is zero."""
    assert len(found) == len(truth)
    wrong = size = 0.0
    for a, b in zip(found, truth, strict=True):
        if a is None and b is None:
            continue
        a = torch.zeros_like(b) if a is None else a.double()
        b = torch.zeros_like(a) if b is None else b.double()
        wrong += float((a - b).square().sum())
        size += float(b.square().sum())
    assert size > 0
    return float((wrong / size) ** 0.5)
