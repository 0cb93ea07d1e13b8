"""Chooses the images of each head class for the exemplar memory (paper, Equations 2-5).

Index notation within one class j: i runs over its n_j samples, x_i are L2-normalised features [d], s is the cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.errors import LongTailError

ExemplarRule = Literal["residual", "herding", "random"]
EXEMPLAR_RULES: tuple[ExemplarRule, ...] = ("residual", "herding", "random")


def select_exemplars(
    features: Tensor,
    labels: Tensor,
    per_class: int = 10,
    *,
    classes: Sequence[int] | None = None,
    method: ExemplarRule = "residual",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Chooses ``per_class`` different samples of each class; of a class with fewer samples all of them.

    Args:
        features: [N, d] penultimate features, made in eval mode with the test transform. They are normalised here.
        labels: [N] int64 class ids.
        per_class: Samples per class; 10 is the best value in the paper.
        classes: Classes to choose from, in the order of the result; None = the classes of ``labels``, ascending.
        method: "residual" (the paper's), "herding" (iCaRL, Rebuffi et al. 2017) or "random".
        generator: CPU generator for "random".

    Returns:
        [M] int64 positions into ``features``, on the CPU: class after class, and within a class in the order of choice.

    Raises:
        LongTailError: The lengths do not match, ``per_class`` is below 1, the method is unknown, or a class has no samples.
    """
    if features.ndim != 2 or len(features) != len(labels):
        raise LongTailError(
            f"features {tuple(features.shape)} and labels {tuple(labels.shape)}; needed are [N, d] and [N]"
        )
    if per_class < 1:
        raise LongTailError(f"per_class={per_class}; the memory keeps at least 1 sample of each class")
    if method not in EXEMPLAR_RULES:
        raise LongTailError(f"method={method!r}; choose one of {', '.join(EXEMPLAR_RULES)}")
    unit = F.normalize(features.detach(), dim=1)
    chosen = []
    for j in sorted(set(labels.tolist())) if classes is None else classes:
        positions = torch.nonzero(labels == j).flatten()
        if not len(positions):
            raise LongTailError(f"class {j} has no samples to choose exemplars from; leave it out of classes")
        size = min(per_class, len(positions))
        if method == "random":
            order = torch.randperm(len(positions), generator=generator)[:size]
        else:
            order = (residual_order if method == "residual" else herding_order)(unit[positions], size)
        chosen.append(positions.cpu()[order.cpu()])
    return torch.cat(chosen)


def residual_order(x: Tensor, size: int) -> Tensor:
    """Chooses samples by the paper's rule: each next sample is close to the part of the prototype that is still missing.

    Equations 2-5: m_1 = argmax_i s(c, x_i). With k samples chosen, p_i = softmax_i s(c, m_i), z = sum_i p_i m_i and
    m_{k+1} = argmax_i s(c + (c - z), x_i), over samples that are not chosen yet. (The paper's text allows repeated choices.)

    Args:
        x: [n, d] L2-normalised features of one class.
        size: Number of samples to choose, at most n.

    Returns:
        [size] int64 rows of ``x`` in the order of choice. In a tie the lower row is chosen.
    """
    c = x.mean(0)  # [d], fixed
    similarity = x @ F.normalize(c, dim=0)  # [n] s(c, x_i)
    target = c
    taken = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    order: list[int] = []
    for _ in range(size):
        # |target| is the same for all candidates, so the dot product ranks like the cosine.
        best = int((x @ target).masked_fill(taken, -torch.inf).argmax())
        taken[best] = True
        order.append(best)
        p = similarity[order].softmax(0)  # [k]
        target = c + (c - p @ x[order])
    return torch.tensor(order, dtype=torch.int64)


def herding_order(x: Tensor, size: int) -> Tensor:
    """Chooses samples so that their mean stays closest to the prototype (iCaRL). Shapes are as in ``residual_order``."""
    c = x.mean(0)
    taken = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    total = torch.zeros_like(c)
    order: list[int] = []
    for k in range(1, size + 1):
        distance = (c - (total + x) / k).norm(dim=1)  # [n]
        best = int(distance.masked_fill(taken, torch.inf).argmin())
        taken[best] = True
        order.append(best)
        total = total + x[best]
    return torch.tensor(order, dtype=torch.int64)
