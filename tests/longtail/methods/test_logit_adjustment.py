"""Logit adjustment: its loss worked out by hand, the frequencies that it counts, and what it does to a training."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.logit_adjustment import AdjustedCrossEntropy
from gradlens.longtail.tasks.digits import digits_task
from gradlens.longtail.training.fit import fit


def loss_of(recipe):
    return recipe.phases[0].losses["classification"]


@pytest.mark.parametrize("tau", [1.0, 0.5])
def test_the_loss_of_one_sample_worked_out_by_hand(tau):
    """Frequencies 3/4 and 1/4: -log of exp(z_y) pi_y^tau over the sum of the same."""
    logits, label = torch.tensor([[0.3, -1.2]], dtype=torch.float64), torch.tensor([1])
    terms = [math.exp(0.3) * 0.75**tau, math.exp(-1.2) * 0.25**tau]
    loss = AdjustedCrossEntropy(tau * torch.log(torch.tensor([0.75, 0.25], dtype=torch.float64)))
    found = loss(SimpleNamespace(logits=logits, labels=label))
    assert float(found) == pytest.approx(-math.log(terms[1] / sum(terms)), rel=1e-12)


def test_frequencies_are_those_of_the_training_images(task):
    counts = [124, 80, 51, 33, 21, 14, 9, 5, 3, 2]
    offsets = loss_of(find_method("logit-adjustment").on(task)).offsets
    assert offsets.tolist() == pytest.approx([math.log(n / sum(counts)) for n in counts])
    balanced = digits_task(balanced=True)  # its `counts` are those of the long-tailed set
    even = loss_of(find_method("logit-adjustment").on(balanced)).offsets
    assert float(even.max() - even.min()) < 0.1


def test_tau_zero_is_cross_entropy(task):
    loss = loss_of(find_method("logit-adjustment").on(task, {"tau": 0.0}))
    logits, labels = torch.randn(8, 10), torch.arange(8)
    assert torch.equal(loss(SimpleNamespace(logits=logits, labels=labels)), F.cross_entropy(logits, labels))
    with pytest.raises(LongTailError, match="tau=-1"):
        find_method("logit-adjustment").on(task, {"tau": -1})


def test_rare_classes_are_told_more_often_than_with_cross_entropy(task):
    test = task.evaluations["test"]
    images, labels = next(test.batches(torch.arange(len(test.labels)), len(test.labels), augmented=False))

    def recall(method):
        model = fit(find_method(method).on(task, {"epochs": 10}), task).learner.model.eval()
        told = model(images).argmax(1)
        return float((told == labels)[labels >= 5].double().mean())

    assert recall("logit-adjustment") > recall("ce") + 0.05
