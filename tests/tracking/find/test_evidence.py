"""Loss calls whose shapes fit in two ways, or lack the batch: torch says where the classes are."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.runlog import Run
from tests.lens.oracle import apart, gradient, gram

GROUPS = "head=0-1,tail=2-3"


def of_group(labels, k):
    return (labels // 2 == k).double()


def masses(labels):
    """[B, C, ...] soft targets whose mass lies on two classes of different groups."""
    hot = F.one_hot(labels, 4).movedim(-1, 1).double()
    return 0.75 * hot + 0.25 * hot.roll(2, 1)


def by_places(log_p, labels, k):
    """The group's part of the loss, written out over the places of logits [B, C, ...]."""
    rows, ids = log_p.movedim(1, -1).reshape(-1, 4), labels.reshape(-1)
    return (-rows[torch.arange(len(ids)), ids] * of_group(ids, k)).sum() / len(ids)


def by_mass(log_p, labels, k):
    targets = masses(labels)
    mine = 0.75 * of_group(labels, k) + 0.25 * of_group(labels, 1 - k)
    return (-(targets * log_p).sum(1) * mine).sum() / labels.numel()


def by_call(log_p, labels, k):
    """Each call's terms belong to the groups of its own labels."""
    return 0.75 * by_places(log_p, labels, k) + 0.25 * by_places(log_p, (labels + 2) % 4, k)


LOSSES = {
    "ids": (lambda out, y: F.cross_entropy(out, y), by_places),
    "nll": (lambda out, y: F.nll_loss(out.log_softmax(1), y), by_places),
    "masses": (lambda out, y: F.cross_entropy(out, masses(y).to(out.dtype)), by_mass),
    "two calls": (
        lambda out, y: 0.75 * F.cross_entropy(out, y) + 0.25 * F.cross_entropy(out, (y + 2) % 4),
        by_call,
    ),
}


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("places", [(4,), (4, 4)], ids=["sequence", "image"])
def test_as_many_places_as_classes(start, tmp_path, loss, places):
    torch.manual_seed(0)
    model = (nn.Conv1d if len(places) == 1 else nn.Conv2d)(5, 4, 1)
    truth = measured(start, model, *LOSSES[loss], lambda: torch.randn(8, 5, *places), (8, *places))
    check(tmp_path, truth, 8 * 4 ** len(places))


@pytest.mark.parametrize("loss", LOSSES)
def test_as_many_samples_as_classes(start, tmp_path, loss):
    torch.manual_seed(0)
    truth = measured(start, nn.Linear(5, 4), *LOSSES[loss], lambda: torch.randn(4, 5), (4,))
    check(tmp_path, truth, 4)


@pytest.mark.parametrize("loss", ["ids", "masses", "two calls"])
def test_one_sample_without_a_batch(start, tmp_path, loss):
    torch.manual_seed(0)
    compute, part = LOSSES[loss]

    def alone(out, y):
        if loss == "masses":
            return F.cross_entropy(out, masses(y[None])[0].to(out.dtype))
        return compute(out, y)

    truth = measured(
        start, nn.Linear(5, 4), alone, lambda log_p, y, k: part(log_p[None], y[None], k), lambda: torch.randn(5), ()
    )
    check(tmp_path, truth, 1)


def measured(start, model, loss, part, inputs, shape):
    """Trains, tracked, and returns the [2, 2] Grams of brute force."""
    tracker = start(every=1, groups=GROUPS, engine="masked")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen = []
    for _ in range(4):
        x, y = inputs(), torch.randint(0, 4, shape)
        seen.append((copy.deepcopy(model), x, y))
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()
    tracker.stop()
    tracker.lens.close()
    assert tracker.faults.failure is None
    dim = min(1, len(shape))

    def of(k, x, y):
        return lambda twin: part(twin(x.double()).log_softmax(dim), y, k)

    return [gram([gradient(twin, of(k, x, y)) for k in (0, 1)]) for twin, x, y in seen]


def check(folder, truth, rows):
    run = Run(folder / "run")
    assert not [event for event in run.events if event["kind"] in ("internal-error", "labels")]
    assert run.steps.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(run.counts.sum(1), rows, rtol=1e-5)
    for found, expected in zip(run.gram()[:, :2, :2], truth, strict=True):
        present = np.diagonal(expected) > 0
        assert apart(found[np.ix_(present, present)], expected[np.ix_(present, present)]) < 1e-5
    assert np.nanmax(run.residual) < 1e-5
    assert np.isfinite(run.loss).any()
