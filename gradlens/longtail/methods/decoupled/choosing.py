"""Classifiers that are changed after training by a number tau: given, or chosen among several values."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.recipe.settings import Settings
from gradlens.longtail.recipe.tuning import Tuning

TAUS = tuple(tenths / 10 for tenths in range(21))


class ClassifierWithTau(nn.Module):
    """A classifier that depends on a number tau.

    Attributes:
        tau: Scalar.
    """

    tau: Tensor

    def __init__(self, tau: float) -> None:
        """Sets tau."""
        super().__init__()
        self.register_buffer("tau", torch.tensor(float(tau)))


def set_tau(classifier: nn.Module, value: float) -> None:
    """Sets tau of a ``ClassifierWithTau``."""
    cast(ClassifierWithTau, classifier).tau.fill_(value)


def tau_values(settings: Settings) -> tuple[float, Tuning | None]:
    """Returns tau as it is at first, and how it is chosen: among ``taus`` if ``tau`` is None, or not at all.

    Args:
        settings: All settings, with ``tau`` and ``taus``.

    Raises:
        LongTailError: A value is below 0 or not finite, or there is none to choose from.
    """
    given = settings["tau"]
    values = tuple(float(tau) for tau in (settings["taus"] if given is None else [given]))
    if not values or not all(0 <= tau < math.inf for tau in values):
        raise LongTailError(f"tau={given}, taus={list(values)}; needed are finite numbers of at least 0")
    return values[0], Tuning("tau", values, set_tau) if given is None else None
