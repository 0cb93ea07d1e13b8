"""Runs the backward pass of a step whose update is combined from the gradients of groups of classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.autograd.inner_products import Layout, inner_products
from gradlens.batch.rows import group_rows
from gradlens.engines import pull_back
from gradlens.longtail.recipe.combiner import Combiner, Combining, Gram
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.training.watcher import total


def combined_backward(
    combiner: Combiner,
    losses: dict[str, Tensor],
    step: Step,
    backward: Callable[[], None],
    generator: torch.Generator,
) -> None:
    """Runs ``backward``, and then makes ``.grad`` the combination of the groups' gradients.

    The part of the gradient that comes from no sample (a penalty on the weights) stays as it is. If all weights are 1, the
    gradient is that of ``backward`` bit for bit.

    Args:
        combiner: How the gradients are combined.
        losses: The losses; their sum is minimised.
        step: The step that they were computed from.
        backward: The backward pass of their sum, which is measured or not. It leaves ``.grad``.
        generator: Source of random order, the same in all processes.
    """
    learner = step.learner
    layout = Layout.of(learner.model)
    at = layout.trainable()
    params = [layout.params[i] for i in at]
    counts = group_rows(step.labels, combiner.groups, step.logits).counts
    groups = [k for k, count in enumerate(counts) if count > 0]
    rows = group_rows(step.measured_labels(), combiner.groups, step.own.logits)
    anchors = [anchor for anchor in step.anchors if anchor.requires_grad]  # features of a frozen trunk do not
    passed = AnchoredLosses([total(losses)], anchors)
    contributions = pull_back(passed, rows, [(0, k) for k in groups], params)
    backward()
    contributions = [learner.processes.averaged(vector, params) for vector in contributions]
    factors = np.array([len(step.labels) / counts[k] if combiner.means else 1.0 for k in groups])
    layer_of = [layout.layer_of[i] for i in at] if combiner.by_layer else [0] * len(at)
    layers = len(layout.layers) if combiner.by_layer else 1
    grams = learner.processes.as_the_first(inner_products(contributions, params, layer_of, layers), learner.device)
    weights = [
        _weights(combiner, gram * np.outer(factors, factors), groups, layer, learner, generator) * factors
        for layer, gram in enumerate(grams.cpu().double().numpy())
    ]
    for i, param in enumerate(params):
        _add(param, [vector[i] for vector in contributions], weights[layer_of[i]])


def _weights(
    combiner: Combiner, gram: Gram, groups: Sequence[int], layer: int, learner: Learner, generator: torch.Generator
) -> Gram:
    """Returns [K] weights of the groups' gradients in one layer. A gradient that is zero has the weight 1."""
    weights = np.ones(len(groups))
    squares = gram.diagonal()
    if not np.isfinite(gram).all():  # the training has diverged; this is told at the end of the epoch
        return weights * np.nan
    there = np.flatnonzero(squares > 0).tolist()
    if there:
        now = Combining(tuple(groups[k] for k in there), layer, learner, generator)
        weights[there] = combiner.weights(gram[np.ix_(there, there)] / squares.max(), now)
    return weights


@torch.no_grad()
def _add(param: Tensor, contributions: Sequence[Tensor | None], weights: Gram) -> None:
    """Changes the gradient of a parameter so that each contribution counts with its weight instead of 1."""
    for contribution, weight in zip(contributions, weights.tolist(), strict=True):
        if contribution is not None and weight != 1:
            assert param.grad is not None
            param.grad.add_(contribution, alpha=weight - 1)
