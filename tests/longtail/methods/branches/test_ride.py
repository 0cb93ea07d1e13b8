"""RIDE: its two losses by hand before and after the switch, class temperatures, the mean at test, and what is refused."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.branches.ride import class_temperatures
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.processes import Processes
from gradlens.longtail.recipe.visiting import PhaseProgress
from tests.longtail.tiny_training import tiny_task

RIDE = find_method("ride")
COUNTS = [124, 80, 51, 33, 21, 14, 9, 5, 3, 2]


def experts(rows=4):
    """Returns three experts' logits [B, 3, 10], and labels."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 3, 10, dtype=torch.float64, generator=generator), torch.tensor([0, 9, 4, 9])[:rows]


def step(logits, labels, epoch):
    """Returns a step whose features are the experts' logits side by side."""
    classifier = SimpleNamespace(each=lambda features: features.reshape(-1, 3, 10))
    learner = SimpleNamespace(model=SimpleNamespace(classifier=classifier), processes=Processes())
    features = logits.flatten(1)
    return Step(learner, PhaseProgress(epoch, 200), features, labels, features, logits.mean(1))


def softmax(row):
    shifted = [math.exp(value) for value in row]
    return [value / sum(shifted) for value in shifted]


def classification(logits, labels, weighted):
    """Each expert's LDAM, written out."""
    rarest = 2**-0.25
    total = 0.0
    for e in range(3):
        losses, weights = [], []
        for row, label in zip(logits[:, e].tolist(), labels.tolist(), strict=True):
            row[label] -= 30 * 0.5 * COUNTS[label] ** -0.25 / rarest
            losses.append(math.log(sum(math.exp(value - row[label]) for value in row)))
            weights.append((1 - 0.9999) / (1 - 0.9999 ** COUNTS[label]) if weighted else 1.0)
        total += sum(w * value for w, value in zip(weights, losses, strict=True)) / sum(weights)
    return total


def diversity(logits, temperatures):
    """Minus the divergences of all experts, written out: the sum over rows and classes, by the rows."""
    mean_temperature = sum(temperatures) / 10
    total = 0.0
    for rows in logits.tolist():
        mean = softmax([sum(r[c] for r in rows) / 3 / temperatures[c] for c in range(10)])
        for row in rows:
            own = softmax([row[c] / temperatures[c] for c in range(10)])
            total += sum(p * math.log(p / q) for p, q in zip(mean, own, strict=True)) / len(logits)
    return -0.45 * mean_temperature**2 * total


@pytest.mark.parametrize(("epoch", "late"), [(0, False), (159, False), (160, True), (199, True)])
def test_its_losses_by_hand(task, epoch, late):
    losses = RIDE.on(task).phases[0].losses
    logits, labels = experts()
    raw = [1 - 0.05 + 0.05 * 10 * n / sum(COUNTS) for n in COUNTS]
    temperatures = [value / raw[0] for value in raw] if late else [1.0] * 10
    found = {name: float(loss(step(logits, labels, epoch))) for name, loss in losses.items()}
    expected = {
        "classification": classification(logits, labels, late),
        "diversity": diversity(logits, temperatures),
    }
    assert found == pytest.approx(expected, rel=1e-9)
    assert found["diversity"] < 0


def test_no_gradient_flows_through_the_mean(task):
    """The diversity's gradient to expert e is -g (softmax(z_e) - softmax(mean)) / B at temperature 1."""
    logits, labels = experts()
    logits.requires_grad_(True)
    RIDE.on(task).phases[0].losses["diversity"](step(logits, labels, 0)).backward()
    own, mean = logits.softmax(2), logits.mean(1).softmax(1)[:, None]
    torch.testing.assert_close(logits.grad, (-0.45 * (own - mean) / 4).detach(), rtol=1e-9, atol=1e-12)


def test_class_temperatures():
    assert class_temperatures(torch.tensor([3, 1]), 0.5).tolist() == pytest.approx([1.0, 0.75 / 1.25])
    assert class_temperatures(torch.tensor([3, 1]), 0.0).tolist() == [1.0, 1.0]


def test_predictions_are_the_mean_of_the_experts(task):
    network = RIDE.on(task).network().eval()
    images, _ = next(iter(task.train.batches(torch.arange(7), 7, augmented=False)))
    features = network.embed(images)
    assert features.shape == (7, 3 * 48)
    each = network.classifier.each(features)
    assert each.shape == (7, 3, 10)
    assert float(each.detach().abs().max()) <= 30
    torch.testing.assert_close(network(images), (each[:, 0] + each[:, 1] + each[:, 2]) / 3)
    alone = network.classifier.experts[1](network.embed_branch(images, 1))
    torch.testing.assert_close(each[:, 1], alone)


def test_its_preset_turns_the_images(task):
    recipe = RIDE.on(task, preset="cifar100-lt-if100")
    assert recipe.phases[0].views == ("rotation",)
    assert recipe.phases[0].sgd.nesterov
    assert recipe.identity()["augmentation"] == "rotation"


def test_experts_are_as_narrow_as_they_may_be(task):
    assert RIDE.on(task, {"expert_width": 0.05}).network().features == 3 * 4  # stages of 2 and 4 channels


def test_one_class_is_refused(task):
    with pytest.raises(LongTailError, match="ride needs at least two classes, and tiny has 1"):
        RIDE.on(dataclasses.replace(tiny_task((6,)), settings=task.settings))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"experts": 0}, "experts=0"),
        ({"expert_width": 0.0}, "expert_width=0.0"),
        ({"expert_width": 0.01}, "expert_width=0.01; it must be at least 0.05"),
        ({"scale": -1.0}, "scale=-1.0"),
        ({"diversity": -0.2}, "diversity=-0.2"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"temperature_spread": 1.0}, "temperature_spread=1.0"),
        ({"weighted_from": 2.0}, "weighted_from=2.0"),
        ({"beta": 1.0}, "beta=1.0"),
        ({"augmentation": "none"}, "augmentation='none'; these images have standard, rotation"),
    ],
)
def test_settings_that_cannot_work_are_refused(task, change, says):
    with pytest.raises(LongTailError, match=says):
        RIDE.on(task, change)
