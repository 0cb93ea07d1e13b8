"""PaCo: its loss by hand and its limits, what a step compares, its views, and what is refused."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.paco import STATE, ParametricContrast, projected
from gradlens.longtail.tasks.digits import SETTINGS
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.watcher import Unwatched
from tests.distributed.processes import together
from tests.longtail.cut_training import resumed_is_whole
from tests.longtail.tiny_training import tiny_task

PACO = find_method("paco")
PRIOR = [0.7, 0.2, 0.1]


def unit_rows(rows, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, 4, dtype=torch.float64, generator=generator), dim=1)


def loss(alpha=0.01, beta=1.0, temperature=0.05):
    return ParametricContrast(torch.tensor(PRIOR, dtype=torch.float64).log(), temperature, alpha, beta)


def test_the_loss_by_hand():
    anchors, logits = (
        unit_rows(3, 0),
        torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5)),
    )
    labels = torch.tensor([0, 1, 0])
    others, other_labels = torch.cat([anchors, unit_rows(5, 1)]), torch.tensor([0, 1, 0, 0, 1, 0, 2, 0])
    expected = 0.0
    for i in range(3):
        classes = [math.exp(float(logits[i, c])) * PRIOR[c] for c in range(3)]
        pairs = {k: math.exp(float(anchors[i] @ others[k]) / 0.05) for k in range(8) if k != i}
        total = sum(classes) + sum(pairs.values())
        positives = [k for k in pairs if other_labels[k] == labels[i]]
        terms = math.log(classes[labels[i]] / total) + 0.3 * sum(math.log(pairs[k] / total) for k in positives)
        expected -= terms / (1 + 0.3 * len(positives)) / 3
    found = loss(alpha=0.3).of(logits, anchors, labels, others, other_labels)
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_without_others_it_is_balanced_softmax():
    anchor, logits, label = unit_rows(1, 0), torch.tensor([[0.5, -1.0, 2.0]], dtype=torch.float64), torch.tensor([1])
    found = loss().of(logits, anchor, label, anchor, label)
    expected = F.cross_entropy(logits + torch.tensor([PRIOR], dtype=torch.float64).log(), label)
    assert float(found) == pytest.approx(float(expected), rel=1e-12)


def test_its_gradient_is_finite_where_an_anchor_meets_itself():
    anchors = unit_rows(2, 0).requires_grad_(True)
    logits = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    loss().of(logits, anchors, torch.tensor([0, 0]), anchors, torch.tensor([0, 0])).backward()
    assert torch.isfinite(anchors.grad).all()
    assert anchors.grad.abs().max() > 0


class Steps(Unwatched):
    """Notes what the loss of each step met, before and after."""

    def __init__(self):
        self.seen = []

    def start_phase(self, phase, learner, optimizer, step, done):
        self.learner = learner

    def backward(self, losses, step):
        state = self.learner.modules[STATE]
        key_weights = [p.clone() for p in state.network.parameters()]
        with torch.no_grad():  # no gradient and batch statistics: the keys of this very step
            keys = projected(state.network, state.network.embed(step.views[0]))
        size = len(step.labels)
        start = (int(state.place) - size) % len(state.queue)
        self.seen.append(
            SimpleNamespace(
                weights=[p.detach().clone() for p in self.learner.model.parameters()],
                key_weights=key_weights,
                keys=keys,
                put=state.queue[start : start + size].clone(),
                put_labels=state.labels[start : start + size].clone(),
                labels=step.labels,
                start=start,
                same=torch.equal(step.images, step.views[0]),
            )
        )
        super().backward(losses, step)


def test_keys_come_from_a_slow_copy_and_go_into_the_queue(task):
    """Step by step: the copy's weights are m times the former ones plus (1 - m) times those of the network."""
    watcher = Steps()
    fit(PACO.on(task, {"epochs": 1, "queue": 96, "key_momentum": 0.75}), task, watcher=watcher)
    assert [step.start for step in watcher.seen] == [0, 32, 64] * 3 + [0]
    former = watcher.seen[0].weights  # the copy starts as the network
    for step in watcher.seen:
        expected = [0.75 * own + 0.25 * other for own, other in zip(former, step.weights, strict=True)]
        for own, value in zip(step.key_weights, expected, strict=True):
            torch.testing.assert_close(own, value)
        torch.testing.assert_close(step.put, step.keys)
        torch.testing.assert_close(step.put.norm(dim=1), torch.ones(32))
        assert torch.equal(step.put_labels, step.labels)
        assert not step.same
        former = step.key_weights


def trained():
    """Returns history and weights of a training without BatchNorm, in which a share of a batch differs from the batch."""
    task = dataclasses.replace(tiny_task((9, 5, 3)), settings=SETTINGS)
    recipe = PACO.on(task, {"epochs": 3, "batch": 5, "queue": 10})

    def network():
        made = recipe.network()
        made.projection, made.dropout = nn.Linear(4, 32), nn.Identity()
        return made.double()

    task.train._data = dataclasses.replace(task.train._data, images=task.train._data.images.double())
    fitted = fit(dataclasses.replace(recipe, network=network), task, seed=3)
    state = {**fitted.learner.model.state_dict(), **fitted.learner.modules[STATE].state_dict()}
    return [row["loss"] for row in fitted.history], {name: value.tolist() for name, value in state.items()}


@pytest.mark.slow
def test_two_processes_do_what_one_does(tmp_path):
    losses, state = trained()
    for other_losses, other in together(tmp_path, trained):
        assert other_losses == pytest.approx(losses, rel=1e-9)
        for name, value in state.items():
            np.testing.assert_allclose(other[name], value, rtol=1e-9, atol=1e-12, err_msg=name)


def test_cut_short_it_ends_bit_identical(tmp_path):
    """Queue, labels, place and the slow copy must be as they were."""
    task = dataclasses.replace(tiny_task((9, 5, 3)), settings=SETTINGS)
    recipe = PACO.on(task, {"epochs": 3, "batch": 5, "queue": 20})
    whole = resumed_is_whole(recipe, task, tmp_path, 2)
    assert int(whole["modules"][STATE]["place"]) == 3 * 3 * 5 % 20


def test_its_preset_has_the_views_of_the_code(task):
    phase = PACO.on(task, {"batch": 32}, preset="cifar100-lt-if100").phases[0]
    assert phase.views == ("autoaugment-cutout", "colours")
    assert phase.drop_last
    factors = [phase.schedule.factor(t, 400) for t in (0, 9, 320, 321, 360, 361)]
    assert factors == pytest.approx([0.1, 1.0, 1.0, 0.1, 0.1, 0.01])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"queue": 100}, "queue=100; it must be a multiple of batch=32"),
        ({"batch": 512}, "342 images fill none of 512"),
        ({"temperature": 0.0}, "temperature=0.0"),
        ({"key_momentum": 1.5}, "key_momentum=1.5"),
        ({"alpha": -1.0}, "alpha=-1.0"),
        ({"beta": 0.0}, "beta=0.0"),
        ({"projection": 0}, "projection=0"),
        ({"second_view": "blurred"}, "augmentation='blurred'; these images have standard, rotation"),
    ],
)
def test_settings_that_cannot_work_are_refused(task, change, says):
    with pytest.raises(LongTailError, match=says):
        PACO.on(task, change)


def test_one_class_is_refused(task):
    with pytest.raises(LongTailError, match="paco needs at least two classes, and tiny has 1"):
        PACO.on(dataclasses.replace(tiny_task((6,)), settings=task.settings), {"batch": 2})


def test_it_trains_where_few_images_are():
    few = dataclasses.replace(tiny_task((6, 3, 2)), settings=SETTINGS)
    fitted = fit(PACO.on(few, {"epochs": 1, "batch": 4, "queue": 8}), few)
    assert fitted.steps == 2
