"""Grads: a gradient of all measured parameters, seen as one vector."""

from __future__ import annotations

from typing import TypeAlias

from torch import Tensor

# One tensor for each measured parameter, in their order; None: the parameter gets no gradient.
Grads: TypeAlias = list[Tensor | None]
