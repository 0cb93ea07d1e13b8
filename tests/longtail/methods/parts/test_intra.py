"""The intra-class margin loss against hand-worked numbers."""

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.parts.intra import intra_class_loss

# Classes 0, 1 are old, 2, 3, 4 new. Rows: a memory sample of class 0, one of class 1, a new sample of class 3.
SCORES = torch.tensor([[0.9, 0.8, 0.7, 0.1, 0.3], [0.2, 0.1, 0.0, 0.4, 0.5], [0.6, 0.0, 0.2, 0.5, 0.4]])
LABELS = torch.tensor([0, 1, 3])


def test_default_by_hand():
    # Row 1: hardest new 0.7, 0.3: 0.5 - 0.9 + 0.7 = 0.3 and 0. Row 2: 0.5, 0.4: 0.9 and 0.8. Mean of four pairs: 0.5.
    assert intra_class_loss(SCORES, LABELS, 2).item() == pytest.approx(0.5)


def test_all_negatives_and_all_samples_by_hand():
    # Row 1: 0.4, 0.3, 0, 0. Row 2 (0.5 - 0.1 + s): 0.6, 0.4, 0.8, 0.9. Row 3 (s): 0.6, 0, 0.2, 0.4. Sum 4.6 over 12.
    got = intra_class_loss(SCORES, LABELS, 2, hardest=None, negatives="all", samples="all")
    assert got.item() == pytest.approx(4.6 / 12)
    # Row 1 and 2 against new classes: 0.3, 0, 0 and 0.4, 0.8, 0.9 over 6.
    assert intra_class_loss(SCORES, LABELS, 2, hardest=None).item() == pytest.approx(2.4 / 6)


def test_margin_by_hand():
    # 0.1 - 0.9 + 0.7 < 0 and 0.1 - 0.1 + (0.5, 0.4)
    assert intra_class_loss(SCORES, LABELS, 2, margin=0.1).item() == pytest.approx(0.9 / 4)


def test_fewer_new_classes_than_negatives():
    # One new class (4): 0.5 - 0.9 + 0.3 < 0; 0.5 - 0.1 + 0.5 = 0.9; class 3 is old now: 0.5 - 0.5 + 0.4.
    assert intra_class_loss(SCORES, LABELS, 4).item() == pytest.approx((0.9 + 0.4) / 3)


@pytest.mark.parametrize(
    ("labels", "num_old"), [([2, 3, 4], 2), ([0, 1, 3], 5)], ids=["no memory sample", "no new class"]
)
def test_without_pairs_it_is_zero_with_zero_gradient(labels, num_old):
    scores = SCORES.clone().requires_grad_()
    loss = intra_class_loss(scores, torch.tensor(labels), num_old)
    loss.backward()
    assert loss.item() == 0
    assert torch.equal(scores.grad, torch.zeros_like(scores))


def test_the_gradient_raises_the_own_class_and_lowers_the_negatives():
    scores = SCORES.clone().requires_grad_()
    intra_class_loss(scores, LABELS, 2).backward()
    expected = torch.tensor([[-0.25, 0, 0.25, 0, 0], [0, -0.5, 0, 0.25, 0.25], [0, 0, 0, 0, 0]])
    assert torch.allclose(scores.grad, expected)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"num_old": 6}, "num_old=6 of 5"),
        ({"num_old": 0}, "num_old=0 of 5"),
        ({"hardest": 0}, "hardest=0"),
        ({"negatives": "old"}, "negatives='old'"),
        ({"labels": torch.tensor([0])}, r"labels \(1,\)"),
    ],
)
def test_wrong_input_is_named(arguments, says):
    with pytest.raises(LongTailError, match=says):
        intra_class_loss(**({"scores": SCORES, "labels": LABELS, "num_old": 2} | arguments))
