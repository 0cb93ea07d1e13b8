"""Runs the backward pass of a step whose update is combined from the gradients of groups of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from gradlens.autograd.cotangents import AnchoredLosses, bypasses
from gradlens.autograd.grads import Grads
from gradlens.autograd.inner_products import Layout, inner_products
from gradlens.batch.rows import RowsByGroup, group_rows
from gradlens.engines import pull_back
from gradlens.longtail.recipe.combiner import Combiner, Combining, Gram
from gradlens.longtail.recipe.learner import Learner
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.training.combined_direction import combined_shares
from gradlens.longtail.training.watcher import Watcher, total


def combined_backward(
    combiner: Combiner,
    losses: dict[str, Tensor],
    step: Step,
    watcher: Watcher,
    generator: torch.Generator,
) -> None:
    """Runs the backward pass of ``watcher``, and then makes ``.grad`` the combination of the groups' gradients.

    The part of the gradient that comes from no sample (a penalty on the weights) stays as it is. If all weights are 1, the
    gradient is that of the pass bit for bit.

    Args:
        combiner: How the gradients are combined.
        losses: The losses; their sum is minimised.
        step: The step that they were computed from.
        watcher: Runs the backward pass of their sum, which leaves ``.grad``, and is told the shares of the combination.
        generator: Source of random order, the same in all processes.
    """
    learner = step.learner
    layout = Layout.of(learner.model)
    at = layout.trainable()
    params = [layout.params[i] for i in at]
    whole = group_rows(step.labels, combiner.groups, step.logits)
    groups = [k for k, count in enumerate(whole.counts) if count > 0]
    rows = group_rows(step.measured_labels(), combiner.groups, step.own.logits)
    anchors = [anchor for anchor in step.anchors if anchor.requires_grad]  # features of a frozen trunk do not
    passed = AnchoredLosses([total(losses)], anchors)
    # Where the groups make up the whole gradient, one of them is what the others leave of it, and needs no pass.
    left = None
    if not whole.untracked and not bypasses(passed.losses[0], anchors, params):
        left = _strongest(passed.cotangents(0), rows, learner)
    pulled = [k for k in groups if k != left]
    vectors = pull_back(passed, rows, [(0, k) for k in pulled], params)
    watcher.backward(losses, step)
    found = {k: learner.processes.averaged(vector, params) for k, vector in zip(pulled, vectors, strict=True)}
    if left is not None:
        found[left] = _left(params, list(found.values()))
    contributions = [found[k] for k in groups]
    factors = np.array([len(step.labels) / whole.counts[k] if combiner.means else 1.0 for k in groups])
    layer_of = [layout.layer_of[i] for i in at] if combiner.by_layer else [0] * len(at)
    layers = len(layout.layers) if combiner.by_layer else 1
    grams = learner.processes.as_the_first(inner_products(contributions, params, layer_of, layers), learner.device)
    products = list(grams.cpu().double().numpy())
    weights = [
        _weights(combiner, gram * np.outer(factors, factors), groups, layer, learner, generator) * factors
        for layer, gram in enumerate(products)
    ]
    for i, param in enumerate(params):
        _add(param, [vector[i] for vector in contributions], weights[layer_of[i]])
    watcher.combined(lambda: combined_shares(products, weights, [combiner.groups.names[k] for k in groups]))


def _strongest(cotangents: Sequence[Tensor | None], rows: RowsByGroup, learner: Learner) -> int:
    """Returns the group with the largest gradient at the anchors.

    A small one must not be taken as the difference of two large ones: it would be rounding error.
    """
    squares = torch.stack([c.flatten(1).double().square().sum(1) for c in cotangents if c is not None]).sum(0)  # [b]
    each = squares @ rows.weights.to(squares)  # [K]
    summed = learner.processes.averaged([each], [each])[0]
    assert summed is not None
    return int(summed.argmax())


@torch.no_grad()
def _left(params: Sequence[Tensor], others: Sequence[Grads]) -> Grads:
    """Returns the gradient without the contributions of other groups."""
    left: Grads = []
    for i, param in enumerate(params):
        gradient = param.grad
        for vector in others:
            other = vector[i]
            gradient = gradient if other is None or gradient is None else gradient - other
        left.append(gradient)
    return left


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
