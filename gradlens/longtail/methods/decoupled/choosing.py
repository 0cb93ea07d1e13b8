"""The setting tau of classifiers that are changed after training: given, or chosen among several values."""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.recipe.settings import Settings
from gradlens.longtail.recipe.tuning import Tuning

TAUS = tuple(tenths / 10 for tenths in range(21))


def tau_values(settings: Settings, apply: Callable[[nn.Module, float], None]) -> tuple[float, Tuning | None]:
    """Returns tau as it is at first, and how it is chosen: among ``taus`` if ``tau`` is None, or not at all.

    Args:
        settings: All settings, with ``tau`` and ``taus``.
        apply: Gives a classifier a value of tau.

    Raises:
        LongTailError: A value is below 0 or not finite, or there is none to choose from.
    """
    given = settings["tau"]
    values = tuple(float(tau) for tau in (settings["taus"] if given is None else [given]))
    if not values or not all(0 <= tau < math.inf for tau in values):
        raise LongTailError(f"tau={given}, taus={list(values)}; needed are finite numbers of at least 0")
    return values[0], Tuning("tau", values, apply) if given is None else None
