"""``lifted`` and ``range``: their losses as terms, their batches, what they do to features, and what is refused."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.training.fit import fit
from tests.longtail.tiny_training import tiny_task
from tests.longtail.watched import watched

METHODS = ("lifted", "range")


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        # 0 and 3 of class 0 and 5 of class 1, margin 2: log(e^-3 + e^0) + 3, squared and halved
        ("lifted", 0.1 * (torch.log(torch.tensor(1 + 2.718281828**-3)) + 3) ** 2 / 2),
        # the pair is 3 apart; the means 1.5 and 5 are 3.5 apart: 0.5 * 3 + 2 * (4 - 3.5)
        ("range", torch.tensor(0.1 * (0.5 * 3 + 2 * 0.5))),
    ],
)
def test_the_terms_of_three_samples_worked_out_by_hand(task, method, expected):
    settings = {"weight": 0.1, "margin": 2.0} if method == "lifted" else {"weight": 0.1, "margin": 4.0}
    settings |= {} if method == "lifted" else {"alpha": 0.5, "beta": 2.0}
    losses = find_method(method).on(task, settings).phases[0].losses
    step = SimpleNamespace(
        features=torch.tensor([[0.0], [3.0], [5.0]]), labels=torch.tensor([0, 0, 1]), logits=torch.randn(3, 2)
    )
    assert list(losses) == ["classification", method]
    assert losses[method](step).item() == pytest.approx(expected.item(), rel=1e-5)
    assert losses["classification"](step).item() == F.cross_entropy(step.logits, step.labels).item()


@pytest.mark.parametrize("method", METHODS)
def test_batches_have_four_images_of_each_class_in_a_row(task, method):
    batches = watched(find_method(method).on(task, {"epochs": 1}), task).labels["all classes", 0]
    assert all((labels.view(-1, 4) == labels[::4, None]).all() for labels in batches[:-1])
    assert len(torch.cat(batches)) == len(task.train.labels)


def spread(fitted, task):
    """Returns the mean distance of features from their class mean, over the mean distance of class means."""
    features = fitted.learner.features(torch.arange(len(task.train.labels)))
    means = torch.stack([features[task.train.labels == label].mean(0) for label in range(10)])
    return float((features - means[task.train.labels]).norm(dim=1).mean() / torch.pdist(means).mean())


@pytest.mark.parametrize("method", METHODS)
def test_classes_are_denser_than_with_cross_entropy_on_the_same_images(task, method):
    without, with_it = (
        spread(fit(find_method(method).on(task, {"epochs": 15, "weight": weight}), task, evaluate_every=15), task)
        for weight in (0.0, 0.05)
    )
    assert with_it < 0.8 * without


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch": 7}, "batch=7; .* compares images of at least two classes"),
        ({"weight": -1.0}, "weight=-1.0"),
        ({"margin": float("inf")}, "margin=inf"),
        ({"sampler": "four"}, "sampler 'four'"),
    ],
)
def test_settings_that_cannot_work_are_refused(task, method, change, says):
    with pytest.raises(LongTailError, match=says):
        find_method(method).on(task, change)


@pytest.mark.parametrize("change", [{"largest": 0}, {"alpha": -1.0}, {"beta": -1.0}])
def test_settings_of_range_that_cannot_work_are_refused(task, change):
    ((name, value),) = change.items()
    with pytest.raises(LongTailError, match=f"{name}={value}"):
        find_method("range").on(task, change)


@pytest.mark.parametrize("method", METHODS)
def test_a_single_class_is_refused(task, method):
    single = dataclasses.replace(tiny_task((6,)), settings=task.settings)
    with pytest.raises(LongTailError, match=f"{method} needs at least two classes, and tiny has 1"):
        find_method(method).on(single)
