"""Momentum contrast: the copy follows, the queue goes round, and nothing of it trains."""

import torch
from torch import nn

from gradlens.longtail.methods.parts.momentum_contrast import MomentumContrast


def made(momentum=0.9):
    torch.manual_seed(0)
    network = nn.Linear(2, 3)
    return network, MomentumContrast(network, 6, 3, 4, momentum)


def test_the_copy_follows_slowly():
    network, contrast = made()
    start = network.weight.detach().clone()
    network.weight.data.add_(1.0)
    contrast.follow(network)
    torch.testing.assert_close(contrast.network.weight, start + 0.1)
    assert not contrast.network.weight.requires_grad
    assert contrast.network.training
    assert not contrast.keys(lambda copied, images: copied(images), torch.ones(1, 2, requires_grad=True)).requires_grad


def test_the_queue_goes_round():
    _, contrast = made()
    assert torch.allclose(contrast.queue.norm(dim=0), torch.ones(3))
    assert set(contrast.labels.tolist()) <= set(range(4))
    for value in (1.0, 2.0, 3.0, 4.0):
        contrast.add(torch.full((2, 3), value), torch.tensor([int(value) % 4] * 2))
    assert contrast.queue[:, 0].tolist() == [4.0, 4.0, 2.0, 2.0, 3.0, 3.0]
    assert contrast.labels.tolist() == [0, 0, 2, 2, 3, 3]
    assert int(contrast.place) == 2
