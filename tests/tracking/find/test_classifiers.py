"""Where logits come from, read off the graph above the last layer."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from gradlens.tracking.find.classifiers import classifier_of, has_outputs, leaf_at, origin_of

LAYER = nn.Linear(4, 3)
X = torch.ones(2, 4)


def ids(*params: torch.Tensor) -> frozenset[int]:
    return frozenset(map(id, params))


@pytest.mark.parametrize(
    "then",
    [
        lambda z: z,
        lambda z: z.float(),
        lambda z: z / 0.07,
        lambda z: z.log_softmax(1),
        lambda z: z.view(2, 3, 1).squeeze(2).contiguous(),
        lambda z: z.t().t(),
    ],
)
def test_what_keeps_each_entry_keeps_the_origin(then):
    logits = LAYER(X)
    assert origin_of(then(logits)) == origin_of(logits)
    assert classifier_of(then(logits)) == ids(LAYER.weight, LAYER.bias)


def test_slices_and_other_layers_have_other_origins():
    logits = LAYER(X)
    assert origin_of(logits[:1]) != origin_of(logits)
    assert origin_of(LAYER(X)) != origin_of(logits)  # another call
    assert classifier_of(LAYER(X)[:1]) == classifier_of(logits)  # of the same layer


def test_a_temperature_is_no_classifier():
    scale = nn.Parameter(torch.ones(()))
    assert classifier_of(LAYER(X) * scale) == ids(LAYER.weight, LAYER.bias)


def test_the_inside_of_a_checkpoint_cannot_be_seen():
    x = X.clone().requires_grad_()
    assert classifier_of(checkpoint(LAYER, x, use_reentrant=True)) == frozenset()
    assert classifier_of(x * 2) == ids(x)
    assert classifier_of((x * 2).detach().requires_grad_() * torch.ones(())) != ids(x)


def test_whether_a_layer_has_so_many_outputs():
    embeddings = nn.Linear(4, 5)(X)
    similarities = embeddings @ embeddings.T  # [2, 2]
    assert has_outputs(LAYER(X), 3)
    assert not has_outputs(similarities, 2)
    assert has_outputs(F.linear(F.normalize(X), LAYER.weight), 3)


def test_a_leaf_behind_a_cast_and_a_transpose():
    weight = nn.Parameter(torch.ones(3, 4))
    assert leaf_at(weight.half().t().grad_fn) is weight
    assert leaf_at((weight + weight).grad_fn) is None
    assert leaf_at(None) is None
