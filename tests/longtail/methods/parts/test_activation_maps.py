"""Activation maps and fused feature maps: by hand, and against Grad-CAM by autograd."""

from __future__ import annotations

import torch

from gradlens.longtail.methods.parts.activation_maps import class_activation_maps, fused_maps
from gradlens.longtail.networks.digit_net import DigitNet


def test_an_activation_map_worked_out_by_hand():
    """Two channels with the weights 1 and -2: 4 - 2 = 2, 5 - 0 = 5, 1 - 2 = -1 (counts as 0), 3 - 0 = 3; over 5."""
    maps = torch.tensor([[[[4.0, 5.0], [1.0, 3.0]], [[1.0, 0.0], [1.0, 0.0]]]])
    found = class_activation_maps(maps, torch.tensor([[1.0, -2.0]]))
    assert torch.allclose(found, torch.tensor([[[0.4, 1.0], [0.0, 0.6]]]))


def test_the_smallest_activation_is_0():
    found = class_activation_maps(torch.tensor([[[[2.0, 4.0, 3.0]]]]), torch.tensor([[1.0]]))
    assert torch.allclose(found, torch.tensor([[[0.0, 1.0, 0.5]]]))


def test_where_all_positions_are_the_same_nothing_is_seen():
    maps = torch.ones(2, 3, 2, 2)
    assert class_activation_maps(maps, torch.tensor([[1.0, 1.0, 1.0], [-1.0, 0.0, 0.0]])).eq(0).all()


def test_it_is_grad_cam():
    torch.manual_seed(0)
    network, images = DigitNet().eval().double(), torch.randn(6, 1, 16, 16).double()
    labels = torch.arange(6)
    with torch.no_grad():
        network.classifier.weight.add_(0.1)
        maps = network.feature_maps(images)
    for sample, label, found in zip(
        maps, labels, class_activation_maps(maps, network.classifier.weight.detach()[labels]), strict=True
    ):
        here = sample[None].clone().requires_grad_()
        logit = network.classifier(network.pooled(here))[0, label]
        (gradient,) = torch.autograd.grad(logit, here)
        seen = torch.relu((gradient.mean((2, 3), keepdim=True) * here.detach()).sum(1))[0]
        assert seen.max() > seen.min()
        assert torch.allclose(found, (seen - seen.min()) / (seen.max() - seen.min()), rtol=1e-9)


def test_fused_maps_worked_out_by_hand():
    """Tail where the mask is True and the tail's class is seen above 0.8; head where it is False and below 0.2; else 0."""
    tail = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]], [[10.0, 20.0], [30.0, 40.0]]]])
    head = -tail
    fused = fused_maps(
        tail,
        head,
        torch.tensor([[[0.9, 0.8], [1.0, 0.0]]]),
        torch.tensor([[[0.0, 0.0], [0.1, 0.2]]]),
        torch.tensor([[[True, True], [False, False]]]),
        0.8,
        0.2,
    )
    assert fused.tolist() == [[[[1.0, 0.0], [-3.0, 0.0]], [[10.0, 0.0], [-30.0, 0.0]]]]
