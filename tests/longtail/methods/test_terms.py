"""Loss terms by hand."""

import math

import pytest
import torch

from gradlens.longtail.methods.terms import cross_entropy
from gradlens.longtail.recipe.phases import Step


def test_cross_entropy_is_the_mean_over_the_batch():
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])  # softmax 3 / 4, 1 / 4 and 1 / 2, 1 / 2
    step = Step(None, None, torch.zeros(2, 1), torch.tensor([0, 1]), torch.zeros(2, 1), logits)
    assert cross_entropy(step).item() == pytest.approx((math.log(4 / 3) + math.log(2)) / 2)
    soft = Step(None, None, torch.zeros(2, 1), torch.tensor([[0.5, 0.5], [0, 1]]), torch.zeros(2, 1), logits)
    assert cross_entropy(soft).item() == pytest.approx((math.log(4 / 3) / 2 + math.log(4) / 2 + math.log(2)) / 2)
