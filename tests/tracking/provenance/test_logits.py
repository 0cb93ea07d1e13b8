"""Columns of an anchor are classes if the loss wants each row's label larger than any other column."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gradlens.tracking.provenance.logits import favours_labels, logits_of
from tests.tracking.provenance.loss_modules import Odd, SupCon

Y = torch.tensor([0, 2, 1, 2, 0, 1, 1, 0])
Z = torch.randn(8, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()


class Doubled(torch.autograd.Function):
    """Counts its backward passes, as a function of a script may."""

    passes = 0

    @staticmethod
    def forward(ctx, x):
        return 2 * x

    @staticmethod
    def backward(ctx, gradient):
        Doubled.passes += 1
        return 2 * gradient


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda z: F.cross_entropy(z, Y), True),
        (lambda z: Odd()(z, Y), True),
        (lambda z: -z.softmax(1)[torch.arange(8), Y].add(1e-3).log().mean(), True),
        (lambda z: F.cross_entropy(z, Y.roll(1)), False),
        (lambda z: SupCon()(z, Y), False),
        (lambda z: z.square().mean(), False),
    ],
)
def test_the_gradient_tells(loss, expected):
    anchor = Z * 1
    assert favours_labels([loss(anchor)], anchor, Y) is expected


def test_labels_beyond_the_columns_are_no_columns():
    anchor = Z * 1
    assert not favours_labels([F.cross_entropy(anchor, Y)], anchor, Y + 3)
    assert not favours_labels([Z.sum()], anchor, Y)


def test_a_function_of_the_script_gets_no_pass_of_ours():
    anchor = Z * 1
    assert not favours_labels([F.cross_entropy(Doubled.apply(anchor), Y)], anchor, Y)
    assert Doubled.passes == 0


def test_hits_come_from_logits_probabilities_or_nothing():
    assert logits_of(Z, columns_are_classes=True) is None
    p = Z.softmax(1)
    found = logits_of(p, columns_are_classes=True)
    assert found is not None
    torch.testing.assert_close(found.log_softmax(1), p.log())
    nothing = logits_of(Z, columns_are_classes=False)
    assert nothing is not None
    assert nothing.numel() == 0
