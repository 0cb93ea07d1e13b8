"""The factor between the measured loss and what is differentiated is found in the pass itself, and taken out."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.engines.backward_scale import BackwardScale


@pytest.mark.parametrize("factor", [1.0, 65536.0, 1 / 3, -2.0])
def test_vectors_are_divided_by_the_factor(factor):
    torch.manual_seed(0)
    model = nn.Linear(3, 4).double()
    logits = model(torch.randn(6, 3, dtype=torch.float64))
    loss = F.cross_entropy(logits, torch.arange(6) % 4)
    truth = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
    scale = BackwardScale(AnchoredLosses([loss], [logits]))

    with scale:
        (loss * factor).backward()

    ((weight, missing, bias),) = scale.undo([[model.weight.grad, None, model.bias.grad]])
    torch.testing.assert_close(weight, truth[0])
    torch.testing.assert_close(bias, truth[1])
    assert missing is None
    assert not logits._backward_hooks


def test_a_loss_that_is_not_finite_in_some_rows_spoils_nothing():
    x = torch.ones(3, requires_grad=True)
    anchor = 1 * x
    loss = (anchor * torch.tensor([1.0, math.nan, 2.0])).sum()
    scale = BackwardScale(AnchoredLosses([loss], [anchor]))
    with scale:
        (loss * 8).backward()
    ((found,),) = scale.undo([[torch.tensor([16.0])]])
    assert found.tolist() == [2.0]


def test_a_loss_without_a_gradient_says_nothing_of_the_factor():
    x = torch.ones(3, requires_grad=True)
    anchor = 1 * x
    loss = (0 * anchor).sum()
    scale = BackwardScale(AnchoredLosses([loss], [anchor]))
    with scale:
        (loss * 8).backward()
    assert scale.undo([[torch.tensor([16.0])]])[0][0].tolist() == [16.0]


def test_an_error_in_its_hook_is_raised_after_the_pass(monkeypatch):
    def broken(*_):
        raise ArithmeticError

    monkeypatch.setattr("gradlens.engines.backward_scale._products", broken)
    x = torch.ones(3, requires_grad=True)
    anchor = 2 * x
    loss = anchor.sum()
    scale = BackwardScale(AnchoredLosses([loss], [anchor]))
    with scale:
        (2 * loss).backward()
    assert x.grad.tolist() == [4.0] * 3
    with pytest.raises(ArithmeticError):
        scale.undo([])


def test_of_a_large_gradient_the_rows_sums_tell_the_factor(monkeypatch):
    from gradlens.engines import backward_scale

    monkeypatch.setattr(backward_scale, "LARGE", 8)
    monkeypatch.setattr(backward_scale, "PIECE", 12)
    torch.manual_seed(0)
    weight = torch.randn(4, 6, requires_grad=True)
    logits = torch.randn(5, 4) @ weight
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor([0, 5, 2, 2, 1]))
    scale = backward_scale.BackwardScale(AnchoredLosses([loss], [logits]))
    with scale:
        (128 * loss).backward()
    (found,) = scale.undo([[weight.grad]])
    torch.testing.assert_close(128 * found[0], weight.grad)
