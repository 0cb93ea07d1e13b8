"""A classifier of cosines: its logits by hand, and its scale."""

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods.parts.cosine import CosineClassifier
from gradlens.longtail.methods.parts.resize import extended, truncated


def test_logits_by_hand():
    classifier = CosineClassifier(2, 2, scale=5.0)
    classifier.weight.data = torch.tensor([[2.0, 0.0], [3.0, 4.0]])
    # (0, 3) against e1: 0, against (3, 4)/5: 4/5
    assert torch.allclose(classifier(torch.tensor([[0.0, 3.0]])), torch.tensor([[0.0, 4.0]]))
    assert torch.allclose(classifier.cosines(torch.tensor([[0.0, 3.0]])), torch.tensor([[0.0, 0.8]]))


def test_the_scale_is_learnt_and_zero_features_stay_finite():
    classifier = CosineClassifier(3, 4)
    classifier(torch.randn(5, 3)).square().sum().backward()
    assert classifier.scale.grad.abs() > 0
    features = torch.zeros(2, 3, requires_grad=True)
    classifier(features).sum().backward()
    assert torch.isfinite(features.grad).all()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda c: truncated(c, 0), "cannot truncate 6 classes to 0"),
        (lambda c: truncated(c, 7), "give 1..6"),
        (lambda c: extended(c, 5), "truncate instead"),
        (lambda c: extended(c, 8, torch.ones(1, 4)), r"means have the shape \(1, 4\)"),
    ],
)
def test_wrong_sizes_are_named(call, says):
    with pytest.raises(LongTailError, match=says):
        call(CosineClassifier(4, 6))
