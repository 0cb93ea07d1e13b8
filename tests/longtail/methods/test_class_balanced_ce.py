"""Class-balanced cross-entropy: both forms by hand, the counts that it takes, and what is refused."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.class_balanced_ce import WeightedCrossEntropy
from gradlens.longtail.tasks.digits import digits_task


def loss_of(recipe):
    return recipe.phases[0].losses["classification"]


@pytest.mark.parametrize(("divisor", "by"), [("samples", 3), ("weights", 2.5)])
def test_both_forms_worked_out_by_hand(divisor, by):
    """Two samples of class 0 (p = 3/4, weight 1/2) and one of class 1 (p = 1/2, weight 3/2)."""
    logits = torch.tensor([[math.log(3), 0.0], [math.log(3), 0.0], [0.0, 0.0]], dtype=torch.float64)
    step = SimpleNamespace(logits=logits, labels=torch.tensor([0, 0, 1]))
    found = WeightedCrossEntropy(torch.tensor([0.5, 1.5]), divisor)(step)
    assert float(found) == pytest.approx((2 * 0.5 * math.log(4 / 3) + 1.5 * math.log(2)) / by, rel=1e-12)


@pytest.mark.parametrize("divisor", ["samples", "weights"])
def test_beta_zero_is_cross_entropy(task, divisor):
    loss = loss_of(find_method("cb-ce").on(task, {"beta": 0.0, "divisor": divisor}))
    logits, labels = torch.randn(8, 10, generator=torch.Generator().manual_seed(0)), torch.arange(8)
    found = loss(SimpleNamespace(logits=logits, labels=labels))
    assert float(found) == pytest.approx(float(F.cross_entropy(logits, labels)), rel=1e-6)


def test_weights_are_of_the_training_images():
    loss = loss_of(find_method("cb-ce").on(digits_task()))
    counts = [124, 80, 51, 33, 21, 14, 9, 5, 3, 2]
    raw = [0.1 / (1 - 0.9**n) for n in counts]
    assert loss.weights.tolist() == pytest.approx([10 * weight / sum(raw) for weight in raw])
    even = loss_of(find_method("cb-ce").on(digits_task(balanced=True))).weights
    assert float(even.max() / even.min()) < 1.05


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"beta": 1.0}, "beta=1.0"),
        ({"beta": -0.5}, "beta=-0.5"),
        ({"divisor": "batch"}, "choose 'samples' or 'weights'"),
    ],
)
def test_settings_that_cannot_work_are_refused(task, change, says):
    with pytest.raises(LongTailError, match=says):
        find_method("cb-ce").on(task, change)
