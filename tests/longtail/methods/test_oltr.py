"""OLTR: what stage 2 starts from, its loss, its learning rates, what it does for the tail, and what is refused."""

from __future__ import annotations

import copy
import dataclasses
from types import SimpleNamespace

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.oltr import CentroidLoss
from gradlens.longtail.recipe.phases import Step
from gradlens.longtail.recipe.processes import Processes
from gradlens.longtail.recipe.visiting import PhaseProgress
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.watcher import Unwatched
from tests.longtail.tiny_training import tiny_task


class Kept(Unwatched):
    """Keeps copies of the network: at the start of stage 2, and at the end of each phase."""

    def __init__(self):
        self.ends, self.rates = {}, {}

    def start_phase(self, phase, learner, optimizer, step, done):
        self.start, self.images = copy.deepcopy(learner.model), learner.train
        self.rates[phase.name] = {
            name: group["lr"]
            for group in optimizer.param_groups
            for name, parameter in learner.model.named_parameters()
            if any(parameter is other for other in group["params"])
        }

    def end_epoch(self, row, learner):
        self.ends[row["phase"]] = copy.deepcopy(learner.model)


@pytest.fixture(scope="module")
def trained(task):
    kept = Kept()
    settings = {"epochs": 15, "epochs_2": 5}
    return kept, fit(find_method("oltr").on(task, settings), task, watcher=kept, evaluate_every=15)


def test_the_second_phase_raises_the_tail(trained):
    _, fitted = trained
    first, second = (row for row in fitted.history if "overall" in row)
    assert second["few"] > first["few"] + 15
    assert set(fitted.history[-1]) >= {"loss/classification", "loss/centroids"}


def test_the_second_phase_starts_from_the_first(trained, task):
    kept, _ = trained
    before, start = kept.ends["all classes"].eval(), kept.start.eval()
    images, labels = next(iter(task.train.batches(torch.arange(342), 342, augmented=False)))
    with torch.no_grad():
        features = before.embed(images)
        assert torch.equal(start.embed(images), features)  # the attention starts as the identity
        assert torch.equal(start.classifier.hallucinator(features), before.classifier(features))
    means = torch.stack([features[labels == label].mean(0) for label in range(10)])
    assert torch.allclose(start.classifier.centroids, means, atol=1e-5)
    assert before.attention is None


def test_attention_classifier_and_centroids_train_each_at_its_rate(trained):
    kept, _ = trained
    start, end = kept.start.state_dict(), kept.ends["memory"].state_dict()
    moved = {name for name in end if not torch.equal(start[name], end[name])}
    assert {"attention.back.weight", "attention.queries.weight", "classifier.weight", "classifier.centroids"} <= moved
    rates = kept.rates["memory"]
    assert rates["classifier.centroids"] == 0.01
    assert rates["classifier.weight"] == rates["classifier.hallucinator.weight"] == 0.1
    assert rates["stem.0.weight"] == rates["attention.back.weight"] == 0.01


def test_the_attention_can_be_left_out(task):
    fitted = fit(find_method("oltr").on(task, {"epochs": 1, "attention": False}), task)
    assert not any(name.startswith("attention") for name in fitted.learner.model.state_dict())


def test_the_preset_has_the_epochs_and_the_decays_of_the_reference(task):
    first, second = find_method("oltr").on(task, preset="imagenet-lt").phases
    assert (first.epochs, second.epochs, first.batch) == (30, 60, 128)
    assert [first.schedule.factor(epoch, 30) for epoch in (9, 10, 20)] == pytest.approx([1, 0.1, 0.01])
    assert [second.schedule.factor(epoch, 60) for epoch in (19, 20, 40)] == pytest.approx([1, 0.1, 0.01])


def step_of(features, labels, centroids):
    learner = SimpleNamespace(
        processes=Processes(), model=SimpleNamespace(classifier=SimpleNamespace(centroids=centroids))
    )
    return Step(learner, PhaseProgress(0, 1), features, labels, features, features)


def test_the_centroid_loss_worked_out_by_hand():
    """One sample (0, 1) of class 0. Its centroid (0, 0) is 1 away; that of class 1, (3, 5), has the square 9 + 16 = 25.

    Attraction 1/2, repulsion 20 - 25/2 = 7.5: 0.1 (0.5 + 0.2 * 7.5). The gradient to c_0 is -1 over (1 + 1) samples; that to c_1
    is -(2/2) (c_1 - f) times 0.2; both times 0.1.
    """
    features = torch.tensor([[0.0, 1.0]], dtype=torch.float64, requires_grad=True)
    centroids = torch.tensor([[0.0, 0.0], [3.0, 5.0]], dtype=torch.float64, requires_grad=True)
    step = step_of(features, torch.tensor([0]), centroids)
    loss = CentroidLoss(0.1, 0.2, 20.0)(step)
    loss.backward()
    assert loss.item() == pytest.approx(0.1 * (0.5 + 0.2 * 7.5), rel=1e-12)
    by_hand = 0.1 * torch.tensor([[0.0, -0.5], [-0.2 * 3, -0.2 * 4]], dtype=torch.float64)
    assert torch.allclose(centroids.grad, by_hand)
    assert torch.allclose(features.grad, 0.1 * torch.tensor([[0.2 * 3, 1 + 0.2 * 4]], dtype=torch.float64))
    assert [tuple(anchor.shape) for anchor in step.anchors[2:]] == [(1, 2), (1, 2)]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"scale": 0.0}, "scale=0.0"),
        ({"reach": -1.0}, "reach=-1.0"),
        ({"centroid_weight": -0.1}, "centroid_weight=-0.1"),
        ({"centroid_margin": float("nan")}, "centroid_margin=nan"),
        ({"centroid_learning_rate": 0.0}, "centroid_learning_rate=0.0"),
        ({"learning_rate_2": 0.0}, "learning_rate_2=0.0"),
        ({"epochs_2": 0}, "epochs_2=0"),
        ({"sampler_2": "aware"}, "sampler 'aware'"),
    ],
)
def test_settings_that_cannot_work_are_refused(task, change, says):
    with pytest.raises(LongTailError, match=says):
        find_method("oltr").on(task, change)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((6,), "oltr needs at least two classes, and tiny has 1"),
        ((6, 0, 2), "oltr needs training images of each class"),
    ],
)
def test_counts_that_cannot_work_are_refused(task, counts, says):
    with pytest.raises(LongTailError, match=says):
        find_method("oltr").on(dataclasses.replace(tiny_task(counts), settings=task.settings))


def test_a_network_without_feature_maps_is_refused_before_the_training(task):
    tiny = dataclasses.replace(tiny_task(), settings=task.settings)
    rows = []
    with pytest.raises(LongTailError, match="Linear has no feature maps"):
        fit(find_method("oltr").on(tiny), tiny, on_epoch=rows.append)
    assert not rows
    done = fit(find_method("oltr").on(tiny, {"attention": False, "epochs": 1, "batch": 4}), tiny)
    assert done.steps == 6
