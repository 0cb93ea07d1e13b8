"""What a teacher says, an input, and other targets that vary as outputs do are no classes; mixed and smoothed labels are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gradlens.runlog import Run
from gradlens.tracking.find.targets import hardened, varies
from tests.tracking.in_process import finished, said, trackers, train


def test_an_autoencoder_has_no_classes(start):
    tracker = start(every=1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(36, 8), nn.ReLU(), nn.Linear(8, 36), nn.Sigmoid())
    train(model, ((x, x) for x in torch.rand(256, 36).split(32)), F.binary_cross_entropy)
    assert tracker.lens is None
    assert any("they are no labels" in line for line in said()), said()


def grey(rows):
    """Images whose pixels are mostly black."""
    return torch.randint(0, 256, (rows, 36)) / 255 * (torch.rand(rows, 36) > 0.7)


def teacher(x, classes):
    return (x @ torch.linspace(-9, 9, 20 * classes).view(20, classes).sin()).softmax(1)


NO_LABELS = {
    "noisy input": (36, lambda: (x := grey(32)) + 0.1 * torch.randn_like(x), lambda x: grey(32), F.mse_loss, True),
    "black and white": (36, lambda: (torch.rand(32, 36) > 0.5).float(), lambda x: x.clone(), F.mse_loss, True),
    "thresholds": (5, lambda: torch.randn(32, 5), lambda x: (x[:, :1] * 2 + 2 > torch.arange(5)).float(), None, False),
    "teacher": (10, lambda: torch.randn(32, 20), lambda x: teacher(x, 10), lambda o, t: F.cross_entropy(o, t), False),
    "teacher of two": (2, lambda: torch.randn(32, 20), lambda x: teacher(x, 2), lambda o, t: F.cross_entropy(o, t), False),
    "teacher by hand": (
        10, lambda: torch.randn(32, 20), lambda x: teacher(x, 10),
        lambda o, t: F.kl_div(o.log_softmax(1), t, reduction="batchmean"), False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NO_LABELS)
def test_targets_that_are_no_labels(start, name):
    tracker = start(every=1)
    torch.manual_seed(0)
    outputs, inputs, targets, loss, bounded = NO_LABELS[name]
    if loss in (None, F.mse_loss):
        loss = F.binary_cross_entropy_with_logits  # a loss that may name several classes, or none, for a row
    x = inputs()
    model = nn.Linear(x.shape[1], outputs)
    batches = [(x, targets(x)) for x in (inputs() for _ in range(6))]
    assert not bounded or all(float(t.max()) <= 1 for _, t in batches)
    train(model, batches, loss)
    assert tracker.lens is None, said()
    assert any("no labels" in line or "tells no classes" in line for line in said()), said()


def test_beside_a_teacher_hard_labels_count(start, tmp_path):
    tracker = start(every=1, groups="a=0-1,b=2-9")
    torch.manual_seed(0)
    model = nn.Linear(20, 10)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    truth = []
    for _ in range(4):
        x, y = torch.randn(32, 20), torch.randint(0, 10, (32,))
        out = model(x)
        with torch.no_grad():
            soft = teacher(x, 10)
        loss = F.cross_entropy(out, soft) + F.cross_entropy(out, y)
        (cotangent,) = torch.autograd.grad(
            (out.log_softmax(1) * -soft).sum() / 32 - out.log_softmax(1)[range(32), y].mean(), out
        )
        truth.append([float((((y < 2) == first)[:, None] * cotangent).T.mm(x).norm()) for first in (True, False)])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    run = finished(tracker, tmp_path)
    found = np.stack([run.gram()[:, k, k] for k in (0, 1)], 1)
    bias = 1e-9
    assert (found >= np.square(np.array(truth)[run.steps]) - bias).all()
    assert run.residual.max() < 1e-5
    assert run.counts.sum() == 32 * len(run)
    assert any("as a teacher's outputs do" in line for line in said()), said()


def by_hand(output, y, amount=0.1):
    targets = torch.full_like(output, amount / output.shape[1]).scatter_(
        1, y[:, None], 1 - amount + amount / output.shape[1]
    )
    return F.kl_div(output.log_softmax(1), targets, reduction="none").sum(-1).mean()


def soft_targets(output, y):
    return F.cross_entropy(output, 0.9 * F.one_hot(y, output.shape[1]) + 0.1 / output.shape[1])


def test_smoothing_by_hand_is_that_of_torch(tmp_path):
    runs = []
    y = torch.repeat_interleave(torch.arange(3), torch.tensor([60, 25, 15]))
    torch.manual_seed(0)
    data = TensorDataset(torch.randn(100, 20) + y[:, None], y)
    for n, loss in enumerate((lambda o, t: F.cross_entropy(o, t, label_smoothing=0.1), by_hand, soft_targets)):
        with trackers(tmp_path / str(n)) as begin:
            tracker = begin(every=1, groups="head=0-1,tail=2")
            torch.manual_seed(1)
            model = nn.Linear(20, 3)
            for _ in range(2):
                train(model, DataLoader(data, 20, shuffle=True), loss)
            tracker.lens.close()
            runs.append(Run(tmp_path / str(n)))
    for run in runs[1:]:
        at = np.isin(runs[0].steps, run.steps)
        assert len(run) >= 6
        np.testing.assert_array_equal(run.counts, runs[0].counts[at])
        np.testing.assert_allclose(run.gram(), runs[0].gram()[at], rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_mixed_and_smoothed_masses_are_labels(classes):
    torch.manual_seed(0)
    hot = F.one_hot(torch.randint(0, classes, (64,)), classes).float()
    lam = torch.rand(64, 1)
    prior = torch.rand(classes)
    mixed = {
        "one number": 0.3 * hot + 0.7 * hot.flip(0),
        "one for each row": lam * hot + (1 - lam) * hot.flip(0),
        "and smoothed": 0.9 * (0.3 * hot + 0.7 * hot.flip(0)) + 0.1 / classes,
        "by frequency": 0.8 * hot + 0.2 * prior / prior.sum(),
    }
    for name, masses in mixed.items():
        assert not varies(masses), name
        assert hardened(masses) is masses or (classes == 2 and name == "by frequency"), name
    padded = 0.9 * hot + 0.1 / (classes - 1)
    padded[-3:] = 0
    assert hardened(padded).tolist() == [*hot.argmax(1)[:-3].tolist(), -100, -100, -100]
    assert varies(torch.randn(64, classes).softmax(1))
