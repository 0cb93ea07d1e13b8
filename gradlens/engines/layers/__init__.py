"""How each kind of layer computes the gradient of its parameters from some rows of its input and output gradient.

The split engine uses this. One file holds the rule of one kind of layer.
"""

from __future__ import annotations

from torch import nn

from gradlens.engines.layers.convolution import CONVOLUTIONS
from gradlens.engines.layers.embedding import EMBEDDING
from gradlens.engines.layers.kind import LayerKind
from gradlens.engines.layers.linear import LINEAR
from gradlens.engines.layers.normalization import BATCH_NORM, GROUP_NORM, LAYER_NORM, RMS_NORM

__all__ = ["KINDS", "LayerKind", "kind_of"]

KINDS: tuple[LayerKind, ...] = (LINEAR, *CONVOLUTIONS, EMBEDDING, LAYER_NORM, GROUP_NORM, RMS_NORM, BATCH_NORM)


def kind_of(module: nn.Module) -> LayerKind | None:
    """Returns the kind of layer whose rule holds for ``module``, or None if there is none.

    A subclass has the kind of its parent class only if it does not override the forward method.
    """
    if "forward" in vars(module):
        return None
    for kind in KINDS:
        if isinstance(module, kind.module) and all(
            getattr(type(module), name) is getattr(kind.module, name) for name in kind.methods
        ):
            return kind
    return None
