"""Grads: one vector of parameter space."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

# Aligned with the measured parameters; None where the vector does not reach a parameter.
Grads: TypeAlias = list[Tensor | None]
