"""``Tuning``: a setting of the classifier whose values are evaluated one after the other, and the best one is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Tuning:
    """A setting of a phase without epochs that is chosen by the accuracy that each of its values gives.

    It is chosen on the task's first split, by the overall accuracy. If this is the test set, run and result say so.

    Attributes:
        setting: Name of the setting, e.g. "tau".
        values: The values to try. The first one of the best is kept.
        apply: Gives the classifier a value. It changes nothing else of the network.
    """

    setting: str
    values: tuple[float, ...]
    apply: Callable[[nn.Module, float], None]
