"""FSA: its batches, its confusing classes, what a step fuses, what trains, and what is refused."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import TensorImages
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.fsa import CONFUSING, Augmentation, ConfusingClasses, TailBatches
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.batch import Batch
from gradlens.longtail.recipe.processes import Processes
from gradlens.longtail.recipe.visiting import PhaseProgress
from gradlens.longtail.training.fit import fit
from tests.longtail.tiny_training import tiny_task

START = PhaseProgress(0, 1)


def test_a_batch_is_half_tail_rows_with_copies_and_half_head_rows():
    labels = torch.tensor([0] * 20 + [1] * 15 + [2] * 4 + [3] * 3)
    batches = TailBatches(head=2, tails=2, fused=2)
    rows = batches(labels, START, torch.Generator().manual_seed(0)).view(-1, 12)
    assert len(rows) == 42 // 12
    assert torch.equal(rows[:, :6], rows[:, [0, 3]].repeat_interleave(3, dim=1))
    assert (labels[rows[:, :6]] >= 2).all()
    assert (labels[rows[:, 6:]] < 2).all()
    assert len(rows[:, [0, 3]].unique()) == 6  # seven tail images: none comes again before all were there
    assert len(rows[:, 6:].unique()) == 18
    assert len(batches(labels[30:], START, torch.Generator())) == 12  # at least one batch


class Pixels(Network):
    """A network whose feature maps are the images."""

    def __init__(self, channels, classes):
        super().__init__()
        self.features = channels
        self.classifier = nn.Linear(channels, classes)

    def maps(self, images):
        return images


def learner(images, labels, classes, weight):
    names = tuple(map(str, range(classes)))
    made = SimpleNamespace(
        model=Pixels(images.shape[1], classes),
        train=TensorImages(ImageSet(images, labels, names, ""), "cpu"),
        modules={},
        device="cpu",
        processes=Processes(),
        num_classes=classes,
    )
    made.features = lambda positions: images[positions].mean((2, 3))
    made.model.classifier.weight.data.copy_(weight)
    made.model.classifier.bias.data.zero_()
    return made


def test_the_most_confusing_head_classes_worked_out_by_hand():
    """The features are log-probabilities. Over the images of class 3 those of the head are 0.2, 0.3 and 0.35 in the mean."""
    probabilities = [[0.1, 0.5, 0.2, 0.1, 0.1], [0.3, 0.1, 0.5, 0.05, 0.05], [0.3, 0.1, 0.2, 0.1, 0.3]]
    features = torch.log(torch.tensor([[0.2] * 5] * 3 + probabilities))
    who = learner(features[:, :, None, None].expand(-1, -1, 2, 2), torch.tensor([0, 1, 2, 3, 3, 4]), 5, torch.eye(5))
    phase = Augmentation(TailBatches(3, 1, 2), 2, 0.8, 0.2)
    phase.add_table(who)
    phase.find_confusing(who)
    assert who.modules[CONFUSING].ids[3:].tolist() == [[2, 1], [0, 2]]


def fused_step(confusing, seed=0, fused=2):
    """Runs a step. Each head image has values of its class alone, so that fused rows tell where they come from."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.tensor([0, 0, 1, 1, 2, 2, 3, 3])
    images = torch.rand(8, 2, 8, 8, generator=generator) + 10 * (labels + 1).view(-1, 1, 1, 1)
    who = learner(images, labels, 4, torch.tensor([[1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 0.5]]))
    who.modules[CONFUSING] = ConfusingClasses(4, confusing)
    who.modules[CONFUSING].ids[2:] = torch.tensor([[1, 0], [0, 1]])[:, :confusing]
    phase = Augmentation(TailBatches(2, 2, fused), confusing, 0.3, 0.7)
    rows = phase.batches(labels, START, torch.Generator().manual_seed(seed))
    rows = rows[: 2 * phase.batches.half]
    kept = {}
    who.model.pooled = lambda maps: kept.setdefault("maps", maps).mean((2, 3))
    step = phase.forward(who, START, Batch(images[rows], labels[rows]), torch.Generator().manual_seed(seed))
    return images, labels, rows, kept["maps"], step, who


def test_fused_rows_are_made_of_the_tail_where_it_is_seen_and_of_a_confusing_image_where_it_is_not():
    images, labels, rows, maps, step, who = fused_step(confusing=2)
    stay = [0, 3, *range(6, 12)]
    assert torch.equal(maps[stay], images[rows[stay]])
    assert torch.equal(step.labels, labels[rows])
    assert torch.equal(step.features, maps.mean((2, 3)))
    assert torch.equal(step.logits, who.model.classifier(maps.mean((2, 3))))
    weight = who.model.classifier.weight.detach()

    def seen(image, label):
        raw = torch.relu((weight[label][:, None, None] * image).sum(0))
        return (raw - raw.min()) / (raw.max() - raw.min()) if raw.max() > raw.min() else torch.zeros(8, 8)

    for first in (0, 3):
        label, classes = int(labels[rows[first]]), []
        for row in (first + 1, first + 2):
            of_tail, empty = (maps[row] == images[rows[row]]).all(0), (maps[row] == 0).all(0)
            assert (seen(images[rows[row]], label)[of_tail] > 0.3).all()
            of_head = {number: (maps[row] == images[number]).all(0) for number in range(4)}
            ((number, where),) = [(number, where) for number, where in of_head.items() if where.any()]
            assert (of_tail | empty | where).all()
            assert (seen(images[number], int(labels[number]))[where] < 0.7).all()
            assert of_tail.any()
            classes.append(int(labels[number]))
        assert sorted(classes) == [0, 1]  # both confusing classes, once each


def test_with_fewer_confusing_classes_than_fused_samples_they_come_again():
    *_, maps, step, _ = fused_step(confusing=1, fused=3)
    assert maps.shape == (16, 2, 8, 8)
    assert step.labels.shape == (16,)


def test_a_seed_gives_one_mixture_and_another_seed_another():
    a, b, c = (fused_step(2, seed)[4].features for seed in (3, 3, 4))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_the_second_phase_trains_the_classifier_alone(task):
    first = fit(find_method("ce").on(task, {"epochs": 2}), task)
    both = fit(find_method("fsa").on(task, {"epochs": 2}), task)
    before, after = first.learner.model.state_dict(), both.learner.model.state_dict()
    assert {name for name, value in after.items() if not torch.equal(value, before[name])} == {
        "classifier.weight",
        "classifier.bias",
    }
    ids = both.learner.modules[CONFUSING].ids
    assert all(len(set(row)) == 3 and max(row) < 5 for row in ids[5:].tolist())


def test_the_second_phase_raises_the_tail(task):
    settings = {"epochs": 15, "learning_rate_2": 0.01}
    history = fit(find_method("fsa").on(task, settings), task, evaluate_every=15).history
    first, second = (row for row in history if "overall" in row)
    assert second["few"] > first["few"] + 5


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"batch": 7}, "batch=7 and fused=3; .* give a batch of at least 8"),
        ({"fused": 0}, "fused=0"),
        ({"fused": 16}, "fused=16; .* give a batch of at least 34"),
        ({"confusing": 0}, "confusing=0"),
        ({"tail_above": 1.0}, "tail_above=1.0"),
        ({"head_below": 0.0}, "head_below=0.0"),
        ({"learning_rate_2": 0.0}, "learning_rate_2=0.0"),
        ({"weight_decay_2": -1.0}, "weight_decay_2=-1.0"),
        ({"head_classes": 10}, "head_classes=10 of 10"),
    ],
)
def test_settings_that_cannot_work_are_refused(task, change, says):
    with pytest.raises(LongTailError, match=says):
        find_method("fsa").on(task, change)


@pytest.mark.parametrize(
    ("counts", "says"),
    [
        ((30,), "fsa needs at least two classes, and tiny has 1"),
        ((30, 0, 2), "fsa needs training images of each class"),
        ((30, 25), "C1 = 2 of 2 classes have at least 20 images"),
        ((9, 8), "C1 = 0 of 2 classes"),
    ],
)
def test_counts_that_cannot_work_are_refused(task, counts, says):
    with pytest.raises(LongTailError, match=says):
        find_method("fsa").on(dataclasses.replace(tiny_task(counts), settings=task.settings))


def test_a_network_without_feature_maps_is_refused_before_the_training(task):
    tiny = dataclasses.replace(tiny_task((25, 3)), settings=task.settings)
    with pytest.raises(LongTailError, match="Linear has none"):
        fit(find_method("fsa").on(tiny), tiny)
