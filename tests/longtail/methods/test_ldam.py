"""LDAM and LDAM-DRW: margins and loss by hand, weights before and after the switch, the network, and what is refused."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.data.counts import long_tailed_counts
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.ldam import MarginCrossEntropy, margins
from gradlens.longtail.recipe.optimization import Steps
from gradlens.longtail.recipe.visiting import PhaseProgress


def loss_of(recipe):
    return recipe.phases[0].losses["classification"]


def test_margins_worked_out_by_hand():
    """Fourth roots of 1, 16, 81 are 1, 2, 3."""
    found = margins(torch.tensor([81, 0, 16, 1]), 0.6)
    assert found.tolist() == pytest.approx([0.2, 0.0, 0.3, 0.6])
    cifar = margins(torch.as_tensor(long_tailed_counts(100, 500, 100.0)), 0.5)
    assert float(cifar[0]) == pytest.approx(0.158, abs=5e-4)
    assert float(cifar[-1]) == 0.5


def test_the_loss_of_one_sample_worked_out_by_hand():
    """Cosines 0.6 and 0.8, label 0 with margin 0.2 and scale 30: scores 30 * 0.4 and 30 * 0.8."""
    step = SimpleNamespace(
        logits=30 * torch.tensor([[0.6, 0.8]], dtype=torch.float64),
        labels=torch.tensor([0]),
        progress=PhaseProgress(0, 1),
    )
    found = MarginCrossEntropy(30 * torch.tensor([0.2, 0.5], dtype=torch.float64))(step)
    assert float(found) == pytest.approx(math.log(1 + math.exp(30 * 0.4)), rel=1e-12)


def test_weights_count_from_the_epoch_of_the_switch_on(task):
    """200 epochs: plain means until epoch 159, weighted means from 160 on, when the learning rate falls as well."""
    logits = torch.randn(6, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 0, 0, 5, 9, 9])
    counts = torch.tensor([124, 80, 51, 33, 21, 14, 9, 5, 3, 2], dtype=torch.float64)
    margin = 0.5 * counts**-0.25 / 2**-0.25
    each = [
        -float(F.log_softmax(row - 30 * margin[label] * F.one_hot(label, 10), 0)[label])
        for row, label in zip(logits, labels, strict=True)
    ]
    weights = [(1 - 0.9999) / (1 - 0.9999 ** float(counts[label])) for label in labels]
    weighted = sum(w * value for w, value in zip(weights, each, strict=True)) / sum(weights)
    loss = loss_of(find_method("ldam-drw").on(task))
    found = {
        epoch: float(loss(SimpleNamespace(logits=logits, labels=labels, progress=PhaseProgress(epoch, 200))))
        for epoch in (0, 159, 160, 199)
    }
    assert found == pytest.approx({0: sum(each) / 6, 159: sum(each) / 6, 160: weighted, 199: weighted}, rel=1e-9)
    assert Steps().factor(159, 200) > Steps().factor(160, 200)
    never = loss_of(find_method("ldam").on(task))
    late = never(SimpleNamespace(logits=logits, labels=labels, progress=PhaseProgress(199, 200)))
    assert float(late) == pytest.approx(sum(each) / 6, rel=1e-9)


def test_the_classifier_is_normalised_and_features_keep_the_last_relu(task):
    recipe = find_method("ldam").on(task)
    network = recipe.network()
    images, _ = next(iter(task.train.batches(torch.arange(32), 32, augmented=False)))
    features = network.embed(images)
    assert float(features.detach().min()) >= 0
    cosines = F.cosine_similarity(features[:, None], network.classifier.weight[None], dim=2)
    assert torch.allclose(network.classifier(features), 30 * cosines, atol=1e-4)


@pytest.mark.parametrize(
    ("method", "change", "says"),
    [
        ("ldam", {"margin": -0.1}, "margin=-0.1"),
        ("ldam", {"scale": 0.0}, "scale=0"),
        ("ldam", {"scale": -30.0}, "scale=-30.0"),
        ("ldam", {"beta": 0.9}, "no setting 'beta'"),
        ("ldam-drw", {"beta": 1.0}, "beta=1.0"),
        ("ldam-drw", {"weighted_from": 160.0}, "weighted_from=160.0; it is a part of the epochs"),
    ],
)
def test_settings_that_cannot_work_are_refused(task, method, change, says):
    with pytest.raises(LongTailError, match=says):
        find_method(method).on(task, change)
