"""How many classes there are where a script names embeddings and labels, and no data set tells: never the embedding's width."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradlens
from gradlens.tracking.launch.ending import why_nothing
from tests.tracking.in_process import finished, said

WIDTH = 16


def train(batches, *, loss=None):
    """Trains embeddings of WIDTH numbers on batches of labels; returns norms [steps, K] of the halves below 2 and from 2 on."""
    torch.manual_seed(0)
    model, head = nn.Sequential(nn.Linear(12, WIDTH), nn.Tanh()), nn.Linear(WIDTH, 6)
    optimizer = torch.optim.SGD([*model.parameters(), *head.parameters()], 0.1)
    truth = []
    for labels in batches:
        y = torch.tensor(labels)
        z = model(torch.randn(len(y), 12))
        each = (z.square().sum(1) - z[:, 0]) if loss is None else loss(head(z), y)
        truth.append([norm(each * chosen, model) for chosen in (y < 2, (y >= 2) & (y < 4))])
        gradlens.observe(z, y)
        optimizer.zero_grad()
        each.mean().backward()
        optimizer.step()
    return np.array(truth)


def norm(each, model):
    gradients = torch.autograd.grad(each.mean(), list(model.parameters()), retain_graph=True)
    return float(torch.cat([g.flatten() for g in gradients]).norm())


def batches_of(count, classes):
    generator = np.random.default_rng(0)
    return [generator.integers(0, classes, 24).tolist() for _ in range(count)]


def test_groups_that_were_asked_for_are_measured_at_once(start, tmp_path):
    tracker = start(every=1, groups="a=0-1,b=2-3")
    truth = train(batches_of(5, 4))
    assert any("groups a 2 + b 2 of 4 classes so far (" in line for line in said())
    run = finished(tracker, tmp_path)
    assert run.groups.num_classes == 4
    np.testing.assert_allclose(np.stack([run.norm("a"), run.norm("b")], 1), truth[run.steps], rtol=1e-4)


def test_classes_that_come_later_count_as_rest_and_are_named(start, tmp_path):
    tracker = start(every=1, groups="a=0-1,b=2-3")
    truth = train([*batches_of(3, 4), *batches_of(3, 7)])
    lines = [line for line in said() if "which the first labels had none" in line]
    assert len(lines) == 1
    assert "labels of class 4, 5, 6, of" in lines[0]
    run = finished(tracker, tmp_path)
    assert run.steps.tolist()[-1] == 5
    np.testing.assert_allclose(np.stack([run.norm("a"), run.norm("b")], 1), truth[run.steps], rtol=1e-4)
    assert (run.norm("rest")[-3:] > 0).all()
    assert run.residual[-3:].max() < 1e-5


@pytest.mark.parametrize("groups", ["per-class", "head-tail"])
def test_labels_are_counted_first_where_the_groups_follow_from_them(start, tmp_path, groups):
    tracker = start(every=1, groups=groups)
    train(batches_of(105, 4))
    run = finished(tracker, tmp_path)
    assert len(run) >= 3
    assert run.groups.num_classes == 4
    assert sorted(c for ids in run.groups.classes for c in ids) == [0, 1, 2, 3]


def test_what_would_be_measured_names_only_classes_with_labels(start):
    tracker = start(every=1, groups="shots")
    train([[0, 1, 5, 5]] * 3)
    assert why_nothing(tracker, "finished").endswith("--groups few=0-1+5")


def test_a_loss_call_on_the_same_labels_tells(start, tmp_path):
    tracker = start(every=1, groups="a=0-1,b=2-3")
    train(batches_of(4, 4), loss=lambda logits, y: F.cross_entropy(logits, y, reduction="none"))
    assert any("groups a 2 + b 2 of 6 classes (" in line for line in said())
    assert finished(tracker, tmp_path).groups.num_classes == 6
