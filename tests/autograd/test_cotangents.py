"""Gradients at anchors, each without what passes through another one; and what reaches a parameter past the anchors."""

from __future__ import annotations

import torch
from torch import nn

from gradlens.autograd.cotangents import bypasses, cotangents, cut, nearest_parameters


def test_the_gradient_at_one_of_two_anchors_leaves_out_the_way_through_the_other():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    features = 3 * x
    logits = features**2
    loss = logits.sum() + 5 * features.sum()

    at_features, at_logits = cotangents(loss, [features, logits])

    # By hand: d loss / d logits = 1. The features reach the loss past the logits with the factor 5 alone.
    torch.testing.assert_close(at_features, torch.tensor([5.0, 5.0]))
    torch.testing.assert_close(at_logits, torch.tensor([1.0, 1.0]))
    # Pulled back together they give the whole gradient: 3 * 5 + d(9 x^2)/dx = 15 + 18 x.
    (whole,) = torch.autograd.grad([features, logits], x, [at_features, at_logits])
    torch.testing.assert_close(whole, 15 + 18 * x.detach())


def test_an_anchor_that_the_loss_does_not_depend_on_has_no_gradient():
    x = torch.ones(2, requires_grad=True)
    used, unused = 2 * x, 3 * x
    loss = used.sum()
    assert cotangents(loss, [unused]) == [None]
    found = cotangents(loss, [used, unused])
    assert found[1] is None
    torch.testing.assert_close(found[0], torch.ones(2))


def test_a_cut_ends_with_its_block():
    x = torch.ones(2, requires_grad=True)
    anchor = 2 * x
    loss = (anchor * 7).sum()
    with cut([anchor]):
        (inside,) = torch.autograd.grad(loss, x, retain_graph=True)
    (after,) = torch.autograd.grad(loss, x)
    assert inside.tolist() == [0.0, 0.0]
    assert after.tolist() == [14.0, 14.0]


def test_a_penalty_on_weights_bypasses_the_anchor():
    model = nn.Linear(3, 2)
    logits = model(torch.ones(4, 3))
    params = list(model.parameters())
    assert not bypasses(logits.sum(), [logits], params)
    assert bypasses(logits.sum() + model.weight.square().sum(), [logits], params)
    assert not bypasses(logits.sum() + model.weight.square().sum(), [logits], [model.bias])
    assert bypasses(logits.sum(), [], params)


def test_the_nearest_parameters_are_those_of_the_last_layer():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert nearest_parameters(model(torch.ones(5, 3)), list(model.parameters())) == [2, 3]


def test_a_layer_that_is_used_twice_is_not_near():
    layer = nn.Linear(3, 3)
    twice = layer(layer(torch.ones(5, 3)))
    assert nearest_parameters(twice, list(layer.parameters())) == []
