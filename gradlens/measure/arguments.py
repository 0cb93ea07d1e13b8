"""Checks the arguments of a lens. A wrong one raises an error at once; its message says the cause and the fix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradlens.choices import DEFAULT_BUDGET, ENGINES
from gradlens.groups import ClassGroups
from gradlens.measure.schedule.cadence import Budget, Cadence, Every


def check_kinds(model: object, groups: object, optimizer: object, engine: object) -> None:
    """Checks the main arguments of ``Lens``.

    Args:
        model: Must be a torch.nn.Module.
        groups: Must be ClassGroups.
        optimizer: Must be a torch.optim.Optimizer or None.
        engine: Must be one of ``gradlens.choices.ENGINES``.

    Raises:
        TypeError: The model, the groups or the optimizer are of another type.
        ValueError: A parameter is on the meta device, or the engine is unknown.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"the model is a {type(model).__name__}; give the torch.nn.Module that is trained")
    if not isinstance(groups, ClassGroups):
        raise TypeError(f"groups are {type(groups).__name__}; give ClassGroups, such as ClassGroups.shots(counts)")
    if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
        raise TypeError(
            f"optimizer is a {type(optimizer).__name__}; give the torch.optim.Optimizer whose step ends a training step, or None"
        )
    if engine not in ENGINES:
        raise ValueError(f"engine={engine!r}; choose one of {', '.join(ENGINES)}")
    for name, param in model.named_parameters():
        if param.is_meta:
            raise ValueError(
                f"parameter {name} is on the meta device, where it has no values; give the model its memory first "
                "(model.to_empty(device=...)), then make the lens"
            )


def cadence_of(every: int | None, budget: float | None) -> Cadence:
    """Returns the cadence for the options of ``Lens``: which steps are measured.

    Args:
        every: Measures every so many steps.
        budget: Measures within this fraction of the training time. DEFAULT_BUDGET if both are None.

    Raises:
        ValueError: Both are given, or the one that is given is out of range.
    """
    if every is not None and budget is not None:
        raise ValueError(f"every={every} and budget={budget} exclude each other; give one")
    return Every(every) if every is not None else Budget(DEFAULT_BUDGET if budget is None else budget)


def counts_of(class_counts: Sequence[float] | NDArray[Any] | None, groups: ClassGroups) -> tuple[float, ...] | None:
    """Returns [C] class counts for the log; None if none were given.

    Raises:
        ValueError: The counts are not one finite number, at least 0, for each class.
    """
    if class_counts is None:
        return None
    try:
        counts = np.asarray(class_counts, dtype=np.float64)
    except (TypeError, ValueError):
        counts = np.zeros((0, 0))
    if counts.shape != (groups.num_classes,) or not np.isfinite(counts).all() or (counts < 0).any():
        raise ValueError(
            f"class_counts must be one number of images for each of the {groups.num_classes} classes, got {class_counts!r}"
        )
    return tuple(counts.tolist())


def parts_of(loss: Tensor | Mapping[str, Tensor]) -> tuple[tuple[str, ...], list[Tensor]]:
    """Returns the names and the tensors of the loss's components. A single loss has no name: its names are ().

    Raises:
        TypeError: A component is no tensor.
        ValueError: There are no components, or one of several is no scalar.
    """
    if isinstance(loss, Tensor):  # in most steps, so it is looked at first: the rest takes 3 % of a step of 0.3 ms
        return (), [loss]
    named = loss if isinstance(loss, Mapping) else {"": loss}
    if not named:
        raise ValueError("no loss components; give a scalar loss, or a dict with at least one")
    for name, part in named.items():
        what = f"loss component {name!r}" if isinstance(loss, Mapping) else "the loss"
        if not isinstance(part, Tensor):
            raise TypeError(
                f"{what} is a {type(part).__name__}; give a scalar tensor, or a dict of component name to scalar tensor"
            )
        if len(named) > 1 and part.numel() != 1:  # for a single loss torch itself raises an error
            raise ValueError(
                f"{what} has shape {list(part.shape)}, but a scalar is differentiated; take its mean or sum"
            )
    return tuple(named) if isinstance(loss, Mapping) else (), list(named.values())
