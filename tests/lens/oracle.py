"""The lens's oracle: gradients of scalars in float64, their inner products by layer, and how far two Grams are apart."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

Vector = Sequence[Tensor | None]


def gradient(model: nn.Module, scalar: Callable[[nn.Module], Tensor]) -> list[Tensor | None]:
    """The gradient of ``scalar(model)`` at every trainable parameter, in float64; the model is left alone."""
    twin = copy.deepcopy(model).double()
    twin.zero_grad()
    scalar(twin).backward()
    return [param.grad for param in twin.parameters() if param.requires_grad]


def gram(vectors: Sequence[Vector]) -> NDArray[np.float64]:
    """[V, V] inner products; None is zero."""
    return np.array([[_dot(a, b) for b in vectors] for a in vectors])


def layer_grams(model: nn.Module, vectors: Sequence[Vector]) -> tuple[list[str], NDArray[np.float64]]:
    """Names of the modules that own parameters, and [L, V, V]; a frozen parameter adds nothing."""
    named = list(model.named_parameters())
    layers = list(dict.fromkeys(name.rpartition(".")[0] or "(root)" for name, _ in named))
    trainable = [name.rpartition(".")[0] or "(root)" for name, param in named if param.requires_grad]
    parts = [[[g for g, own in zip(v, trainable, strict=True) if own == layer] for v in vectors] for layer in layers]
    return layers, np.array([gram(part) for part in parts])


def apart(found: NDArray[np.float64], truth: NDArray[np.float64], noise: float = 0.0) -> float:
    """Largest |found - truth| over |g_v| |g_w|, of entries above ``noise``; infinite where only one of them is NaN."""
    if (np.isnan(found) != np.isnan(truth)).any():
        return np.inf
    size = np.sqrt(np.diagonal(truth, axis1=-2, axis2=-1))
    wrong = np.maximum(np.abs(found - truth) - noise, 0.0)
    ratio = wrong / np.maximum(size[..., :, None] * size[..., None, :], 1e-300)
    return float(np.nanmax(ratio))


def _dot(a: Vector, b: Vector) -> float:
    pairs = zip(a, b, strict=True)
    return sum(float((x.double() * y.double()).sum()) for x, y in pairs if x is not None and y is not None)


def same(a: object, b: object) -> bool:
    """Whether two states (tensors in dicts and lists) are bit-identical, NaN included."""
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(_bits(a), _bits(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)
