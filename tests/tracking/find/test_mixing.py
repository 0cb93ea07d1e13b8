"""Terms of one loss on the same rows go by their own labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.tracking.watch.state import State
from tests.tracking.group_norms import GROUPS, HEAD, C, measured, norms
from tests.tracking.in_process import said


class Deep(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head, self.early = nn.Linear(6, 8), nn.Linear(8, C), nn.Linear(8, C)


def train(tracker, tmp_path, loss_of, terms_of):
    """Trains three steps; asserts the groups' norms and samples. ``terms_of`` gives (losses, labels, samples) to compare."""
    torch.manual_seed(0)
    model = Deep()
    params = list(model.parameters())
    optimizer = torch.optim.SGD(params, lr=0.1)
    truth, counts = [], []
    for _ in range(3):
        x, y, other = torch.randn(12, 6), (torch.rand(12) * C).long(), (torch.rand(12) * C).long()
        tracker.watch.state = State.BUSY
        losses, labels, samples = terms_of(model, x, y, other)
        truth.append(norms(losses, labels, params))
        tracker.watch.state = tracker.watch.of_step
        counts.append([float(samples[torch.isin(labels, HEAD)].sum()), float(samples[~torch.isin(labels, HEAD)].sum())])
        loss = loss_of(model, x, y, other)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    run, found = measured(tracker, tmp_path)
    np.testing.assert_allclose(found, np.array(truth)[run.steps], rtol=1e-4)
    np.testing.assert_allclose(run.counts, np.array(counts)[run.steps], rtol=1e-4)
    assert run.residual.max() < 1e-5
    return run


def logits(model, x, head="head"):
    return getattr(model, head)(model.body(x).tanh())


def ce(output, y):
    return F.cross_entropy(output, y, reduction="none")


@pytest.mark.parametrize("copies", [False, True])
def test_terms_of_one_row_go_by_their_own_labels(start, tmp_path, copies):
    """Mixup; also where each call gets a cast of the logits of its own."""

    def loss_of(model, x, y, other):
        out = logits(model, x)
        a, b = (out.double().float(), out.double().float()) if copies else (out, out)
        return 0.7 * F.cross_entropy(a, y) + 0.3 * F.cross_entropy(b, other)

    def terms_of(model, x, y, other):
        out = logits(model, x)
        losses = torch.cat([0.7 * ce(out, y), 0.3 * ce(out, other)]) / len(y)
        return losses, torch.cat([y, other]), torch.tensor([0.7, 0.3]).repeat_interleave(len(y))

    train(start(every=1, groups=GROUPS), tmp_path, loss_of, terms_of)


def test_mixup_with_weights_of_rows_and_a_term_of_the_logits(start, tmp_path):
    """What the script adds at the logits goes by the mass of the row's labels."""
    lam = torch.linspace(0.1, 0.9, 12)

    def loss_of(model, x, y, other):
        out = logits(model, x)
        return (lam * ce(out, y) + (1 - lam) * ce(out, other)).mean() + 0.1 * out.logsumexp(1).square().mean()

    def terms_of(model, x, y, other):
        out = logits(model, x)
        penalty = 0.1 * out.logsumexp(1).square()
        losses = torch.cat([lam * (ce(out, y) + penalty), (1 - lam) * (ce(out, other) + penalty)]) / len(y)
        return losses, torch.cat([y, other]), torch.cat([lam, 1 - lam])

    train(start(every=1, groups=GROUPS), tmp_path, loss_of, terms_of)


def test_mixup_of_two_heads(start, tmp_path):
    def loss_of(model, x, y, other):
        late, early = logits(model, x), logits(model, x, "early")
        main = 0.7 * F.cross_entropy(late, y) + 0.3 * F.cross_entropy(late, other)
        return main + 0.4 * (0.7 * F.cross_entropy(early, y) + 0.3 * F.cross_entropy(early, other))

    def terms_of(model, x, y, other):
        late, early = logits(model, x), logits(model, x, "early")
        losses = torch.cat([0.7 * (ce(late, y) + 0.4 * ce(early, y)), 0.3 * (ce(late, other) + 0.4 * ce(early, other))])
        return losses / len(y), torch.cat([y, other]), torch.tensor([0.7, 0.3]).repeat_interleave(len(y))

    train(start(every=1, groups=GROUPS), tmp_path, loss_of, terms_of)


def test_two_branches_with_batches_of_their_own(start, tmp_path):
    """As in two-branch methods: a uniform and a rebalanced batch, one classifier."""

    def loss_of(model, x, y, other):
        return 0.6 * F.cross_entropy(logits(model, x), y) + 0.4 * F.cross_entropy(logits(model, x.flip(1)), other)

    def terms_of(model, x, y, other):
        losses = torch.cat([0.6 * ce(logits(model, x), y), 0.4 * ce(logits(model, x.flip(1)), other)]) / len(y)
        return losses, torch.cat([y, other]), torch.ones(2 * len(y))

    train(start(every=1, groups=GROUPS), tmp_path, loss_of, terms_of)


def test_two_views_of_a_batch_count_its_samples_once(start, tmp_path):
    def loss_of(model, x, y, _):
        return F.cross_entropy(logits(model, x), y) + F.cross_entropy(logits(model, x.flip(1)), y.clone())

    def terms_of(model, x, y, _):
        return (ce(logits(model, x), y) + ce(logits(model, x.flip(1)), y)) / len(y), y, torch.ones(len(y))

    train(start(every=1, groups=GROUPS), tmp_path, loss_of, terms_of)


def test_another_task_of_as_many_classes_is_rest(start, tmp_path):
    def loss_of(model, x, y, other):
        return F.cross_entropy(logits(model, x), y) + F.cross_entropy(logits(model, x, "early"), other)

    def terms_of(model, x, y, _):
        return ce(logits(model, x), y) / len(y), y, torch.ones(len(y))

    run = train(start(every=1, groups=GROUPS), tmp_path, loss_of, terms_of)
    assert (run.norm("rest") > 0.01).all()
    assert any("other labels count as 'rest' (1 beside the measured)" in line for line in said())


def test_ignored_labels_of_a_term_are_rest(start, tmp_path):
    def loss_of(model, x, y, other):
        out = logits(model, x)
        other = torch.where(torch.arange(12) < 4, -1, other)
        return F.cross_entropy(out, y) + F.cross_entropy(out, other, ignore_index=-1)

    torch.manual_seed(0)
    tracker = start(every=1, groups=GROUPS)
    model = Deep()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        loss_of(model, torch.randn(12, 6), (torch.rand(12) * C).long(), (torch.rand(12) * C).long()).backward()
        optimizer.step()
    run, _ = measured(tracker, tmp_path)
    assert run.residual.max() < 1e-5
    np.testing.assert_allclose(run.counts.sum(1), 12, rtol=1e-5)
