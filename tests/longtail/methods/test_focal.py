"""Focal loss: worked out by hand, its limit gamma = 0, its gradient where p is 1, and what is refused."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.focal import SoftmaxFocal


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_the_loss_of_two_samples_worked_out_by_hand(gamma):
    """Logits log 3, 0 and label 0: p = 3/4; logits 0, 0: p = 1/2."""
    logits = torch.tensor([[math.log(3), 0.0], [0.0, 0.0]], dtype=torch.float64)
    by_hand = (0.25**gamma * math.log(4 / 3) + 0.5**gamma * math.log(2)) / 2
    found = SoftmaxFocal(gamma)(SimpleNamespace(logits=logits, labels=torch.tensor([0, 1])))
    assert float(found) == pytest.approx(by_hand, rel=1e-12)


def test_gamma_zero_is_cross_entropy(task):
    loss = find_method("focal").on(task, {"gamma": 0.0}).phases[0].losses["classification"]
    logits, labels = (
        torch.randn(8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
        torch.arange(8),
    )
    found = loss(SimpleNamespace(logits=logits, labels=labels))
    assert float(found) == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-14)


def test_the_gradient_flows_through_the_factor():
    """By the product and the chain rule: d/dp of -(1-p)^g log p, times dp/dz = p(1-p) for two classes."""
    p, gamma = 0.75, 2.0
    logits = torch.tensor([[math.log(3), 0.0]], dtype=torch.float64, requires_grad=True)
    SoftmaxFocal(gamma)(SimpleNamespace(logits=logits, labels=torch.tensor([0]))).backward()
    by_hand = (gamma * (1 - p) ** (gamma - 1) * math.log(p) - (1 - p) ** gamma / p) * p * (1 - p)
    assert logits.grad.tolist()[0] == pytest.approx([by_hand, -by_hand], rel=1e-12)


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_a_sample_that_is_certain_has_a_finite_gradient(gamma):
    logits = torch.tensor([[200.0, 0.0, 0.0], [0.0, 200.0, 0.0]], requires_grad=True)
    loss = SoftmaxFocal(gamma)(SimpleNamespace(logits=logits, labels=torch.tensor([0, 0])))
    loss.backward()
    assert loss.item() == pytest.approx(100.0)  # half of 0 and 200
    assert logits.grad[0].abs().max() < 1e-30
    assert logits.grad[1].tolist() == pytest.approx([-0.5, 0.5, 0.0])


@pytest.mark.parametrize("gamma", [-0.5, float("nan"), float("inf")])
def test_gamma_out_of_range_is_refused(task, gamma):
    with pytest.raises(LongTailError, match="gamma="):
        find_method("focal").on(task, {"gamma": gamma})
