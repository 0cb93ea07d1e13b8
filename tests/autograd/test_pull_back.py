"""A pull-back against autograd: the same gradients, while ``.grad``, the graph and the hooks of the script stay as they are."""

from __future__ import annotations

import torch
from torch import nn

from gradlens.autograd.pull_back import gradients


def test_several_outputs_are_pulled_back_together():
    torch.manual_seed(0)
    first, second = nn.Linear(3, 4).double(), nn.Linear(4, 2).double()
    x = torch.randn(5, 3, dtype=torch.float64)
    features = first(x).tanh()
    logits = second(features)
    seeds = [torch.randn_like(features), torch.randn_like(logits)]
    params = [*first.parameters(), *second.parameters()]

    found = gradients([features, logits], params, seeds)

    ((features * seeds[0]).sum() + (logits * seeds[1]).sum()).backward()
    for gradient, param in zip(found, params, strict=True):
        torch.testing.assert_close(gradient, param.grad)


def test_nothing_of_the_training_is_touched():
    layer, unused = nn.Linear(3, 1), nn.Linear(3, 1)
    calls = []
    layer.weight.register_hook(lambda gradient: calls.append(1))
    layer.weight.register_post_accumulate_grad_hook(lambda param: calls.append(1))
    loss = layer(torch.tensor([1.0, 2.0, 3.0])).sum()
    params = [*layer.parameters(), unused.weight]

    for _ in range(2):  # the graph stays in place
        weight, bias, other = gradients([loss], params, [None])
        assert weight.tolist() == [[1.0, 2.0, 3.0]]
        assert bias.tolist() == [1.0]
        assert other is None

    assert calls == []
    assert all(param.grad is None for param in params)
    loss.backward()
    assert calls == [1, 1]
