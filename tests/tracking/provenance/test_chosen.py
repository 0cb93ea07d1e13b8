"""``--labels`` and ``--anchor``: what the user names is measured, and a name that is none is refused with those there are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests.tracking.in_process import finished, said
from tests.tracking.provenance.loss_modules import INPUTS, LABELS, Named, columns, grams, network, train

GROUPS = "head=0-1,tail=2-3"
DOMAIN = torch.arange(len(LABELS)) % 4


def by_hand(z, y):
    """Nothing in its graph shows the labels."""
    centers = torch.stack([z[y == c].mean(0) if (y == c).any() else z.mean(0) for c in range(4)])
    return (z - centers[y]).square().sum(1).add(0.1).log().mean()


def options(labels=None, anchor=None):
    return {"labels": labels, "anchor": anchor}


def exact(run, truth):
    assert len(run) >= 6
    for step, gram in zip(run.steps, run.gram(), strict=True):
        np.testing.assert_allclose(gram[:2, :2], truth[int(step)].numpy(), rtol=1e-4, atol=1e-7)


def test_labels_are_those_of_the_batch(start, tmp_path):
    tracker = start(every=1, groups=GROUPS, **options("batch[1]"))
    trained = train(lambda model, batch: by_hand(model(batch[0]), batch[1]), columns(LABELS, DOMAIN), network(6))
    assert "labels int64 [20] from batch[1] (--labels)" in said()[0]
    exact(finished(tracker, tmp_path), grams(trained, by_hand, [(0, 1), (2, 3)]))


def test_they_win_over_those_of_a_loss(start, tmp_path):
    tracker = start(every=1, groups=GROUPS, **options("batch[2]"))
    trained = train(lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]), columns(LABELS, DOMAIN), network())
    run = finished(tracker, tmp_path)
    for step, counts in zip(run.steps, run.counts, strict=True):
        domain = trained.steps[int(step)][1][2]
        assert counts.tolist() == [float((domain < 2).sum()), float((domain > 1).sum())]
    assert np.isnan(run.correct).all()  # the logits are those of other classes


def test_a_key_of_a_dict(start, tmp_path):
    tracker = start(every=1, groups=GROUPS, **options("batch.kind"))
    data = Named(x=INPUTS, other=DOMAIN, kind=LABELS)
    train(lambda model, batch: by_hand(model(batch["x"]), batch["kind"]), data, network())
    assert len(finished(tracker, tmp_path)) >= 6


def test_a_module_names_the_anchor(start, tmp_path):
    """The rows of the hidden layer stand for the samples; what comes after it is rest."""
    tracker = start(every=1, groups=GROUPS, **options(anchor="1"))
    trained = train(lambda model, batch: F.cross_entropy(model(batch[0]), batch[1]), columns(LABELS), network())
    assert "anchor [20, 8] at the output of 1" in said()[0]
    run = finished(tracker, tmp_path)
    truth = []
    for model, (x, y) in trained.steps:
        hidden = model[1](model[0](x.double()))
        (rows,) = torch.autograd.grad(F.cross_entropy(model[2](hidden), y), hidden, retain_graph=True)
        vectors = []
        for ids in ((0, 1), (2, 3)):
            mask = torch.isin(y, torch.tensor(ids)).double()[:, None]
            own = torch.autograd.grad(hidden, list(model[0].parameters()), rows * mask, retain_graph=True)
            vectors.append(torch.cat([g.reshape(-1) for g in own]))
        truth.append(torch.stack(vectors) @ torch.stack(vectors).T)
    exact(run, truth)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            options("batch[4]"),
            "--labels batch[4]: there is no [4]; the batch is a list of [0] float32 [20, 5], [1] int64 [20]",
        ),
        (options("batch[0]"), "--labels batch[0] is float32 [20, 5], and fits no output ([20, 4])"),
        (options("batch[1]", "hidden"), "--anchor hidden: the model has no module of this name; name one such as"),
    ],
)
def test_what_cannot_be_done_is_said(start, given, line):
    tracker = start(every=1, groups=GROUPS, **given)
    train(lambda model, batch: by_hand(model(batch[0]), batch[1]), columns(LABELS), network())
    assert tracker.lens is None
    assert line in str(tracker.faults.failure)
    assert sum(line in each for each in said()) == 1


def test_a_training_without_a_loader_has_no_batch(start):
    tracker = start(every=1, groups=GROUPS, **options("batch[1]"))
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for at in range(0, 80, 20):
        optimizer.zero_grad()
        by_hand(model(INPUTS[at : at + 20]), LABELS[at : at + 20]).backward()
        optimizer.step()
    assert "the script has read no torch DataLoader" in str(tracker.faults.failure)


def test_batches_that_are_read_in_advance_are_told_apart_by_the_inputs(start, tmp_path):
    tracker = start(every=1, groups=GROUPS, **options("batch[1]"))
    model, counts = network(6), []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    loader = iter(torch.utils.data.DataLoader(columns(LABELS), 20, shuffle=True))
    following = next(loader)
    while following is not None:
        (x, y), following = following, next(loader, None)
        optimizer.zero_grad()
        by_hand(model(x), y).backward()
        optimizer.step()
        counts.append([float((y < 2).sum()), float((y > 1).sum())])
    run = finished(tracker, tmp_path)
    assert len(run) >= 1
    assert run.counts.tolist() == [counts[int(step)] for step in run.steps]


def test_several_views_fit_no_output(start):
    tracker = start(every=1, groups=GROUPS, **options("batch[1]"))
    train(lambda model, batch: by_hand(model(batch[0].repeat(2, 1)), batch[1].repeat(2)), columns(LABELS), network())
    assert "fits no output ([40, 4])" in str(tracker.faults.failure)


def test_a_head_by_the_name_of_its_model():
    from gradlens.tracking.provenance.chosen import named_module

    first, second = nn.Sequential(nn.Linear(2, 2)), nn.Bilinear(2, 2, 2)
    assert named_module([first, second], "Sequential.0") is first[0]
    assert named_module([first, second], "Bilinear") is second
