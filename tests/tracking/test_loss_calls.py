"""Loss calls of one training step on the same classes count together, each by its own labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import gradlens
from gradlens.runlog import Run
from gradlens.tracking.watch.state import State
from tests.tracking.in_process import said

C = 5
GROUPS = "head=0-1,tail=2-4"
HEAD = torch.tensor([0, 1])


class Tagger(nn.Module):
    """A recurrent network with a classifier for each token, and one that looks at the first layer."""

    def __init__(self):
        super().__init__()
        self.embedding, self.body = nn.Embedding(C, 8), nn.GRU(8, 8, batch_first=True)
        self.cell, self.head, self.early = nn.GRUCell(8, 8), nn.Linear(8, C), nn.Linear(8, C)

    def forward(self, x):
        return self.body(self.embedding(x))[0]

    def steps(self, x):
        """Yields the logits of one time step after another."""
        state = torch.zeros(len(x), 8)
        for token in self.embedding(x).unbind(1):
            state = self.cell(token, state)
            yield self.head(state)


def batch(rows=4, length=8):
    tokens = (torch.rand(rows, length + 1).pow(2) * C).long()
    return tokens[:, :-1], tokens[:, 1:].clone()


def whole(model, x, y):
    """[N] cross-entropies and their labels."""
    return F.cross_entropy(model.head(model(x)).flatten(0, 1), y.flatten(), reduction="none"), y.flatten()


def stepwise(model, x, y):
    each = [F.cross_entropy(logits, t, reduction="none") for logits, t in zip(model.steps(x), y.unbind(1), strict=True)]
    return torch.cat(each), torch.cat(y.unbind(1))


def slices(model, x, y):
    logits = model.head(model(x)).flatten(0, 1)
    return sum(F.cross_entropy(logits[a : a + 8], y.flatten()[a : a + 8], reduction="sum") for a in range(0, 32, 8))


def lists(model, x, y):
    parts = [model.head(part).float().reshape(-1, C) for part in model(x).chunk(4, 1)]
    return sum(
        F.cross_entropy(part, t.reshape(-1), reduction="sum") for part, t in zip(parts, y.chunk(4, 1), strict=True)
    )


def views(model, x, y):
    parts = model.head(model(x)).unbind(1)
    return sum(F.cross_entropy(part, t, reduction="none").sum() for part, t in zip(parts, y.unbind(1), strict=True))


def classes_second(model, x, y):
    parts = model.head(model(x)).mT.split(2, 2)
    return sum(F.cross_entropy(part, t, reduction="sum") for part, t in zip(parts, y.split(2, 1), strict=True))


def checkpointed(model, x, y):
    def loss(part, t):
        return F.cross_entropy(model.head(part).flatten(0, 1), t.flatten(), reduction="sum")

    pairs = zip(model(x).chunk(4, 1), y.chunk(4, 1), strict=True)
    return sum(checkpoint(loss, part, t, use_reentrant=False) for part, t in pairs)


def time_steps(model, x, y):
    return sum(
        F.cross_entropy(logits, t, reduction="sum") for logits, t in zip(model.steps(x), y.unbind(1), strict=True)
    )


def fed_back(model, x, y):
    """Each time step sees the probabilities of the one before."""
    state, loss, before = torch.zeros(len(x), 8), 0, torch.zeros(len(x), C)
    for t, token in enumerate(model.embedding(x).unbind(1)):
        state = model.cell(token + before @ model.embedding.weight, state)
        logits = model.head(state)
        loss, before = loss + F.cross_entropy(logits, y[:, t], reduction="sum"), logits.softmax(1)
    return loss


def norms(losses, labels, params):
    parts = (torch.isin(labels, HEAD), ~torch.isin(labels, HEAD))
    return [norm(torch.autograd.grad((losses * p).sum(), params, retain_graph=True, allow_unused=True)) for p in parts]


def norm(gradients):
    return float(sum(g.double().square().sum() for g in gradients if g is not None) ** 0.5)


def measured(tracker, folder):
    tracker.lens.close()
    run = Run(folder / "run")
    assert not [event for event in run.events if event["kind"] == "internal-error"], run.events
    return run, np.stack([run.norm("head"), run.norm("tail")], axis=1)


CHUNKS = {
    "slices": (slices, whole),
    "lists": (lists, whole),
    "views": (views, whole),
    "classes second": (classes_second, whole),
    "checkpointed": (checkpointed, whole),
    "time steps": (time_steps, stepwise),
}


@pytest.mark.parametrize("name", CHUNKS)
def test_chunks_of_a_batch_count_together(start, tmp_path, name):
    tracker = start(every=1, groups=GROUPS)
    chunked, oracle = CHUNKS[name]
    torch.manual_seed(0)
    model = Tagger()
    params = list(model.parameters())
    optimizer = torch.optim.SGD(params, lr=0.1)
    truth, counts = [], []
    for _ in range(3):
        x, y = batch()
        tracker.watch.state = State.BUSY  # the oracle is no loss of the training
        losses, labels = oracle(model, x, y)
        truth.append(norms(losses / y.numel(), labels, params))
        tracker.watch.state = tracker.watch.of_step
        counts.append([int(torch.isin(y, HEAD).sum()), int((~torch.isin(y, HEAD)).sum())])
        loss = chunked(model, x, y) / y.numel()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    run, found = measured(tracker, tmp_path)
    np.testing.assert_allclose(found, truth, rtol=1e-5)
    np.testing.assert_array_equal(run.counts, counts)
    assert run.residual.max() < 1e-5
    assert np.nan_to_num(run.norm("rest")).max() < 1e-6
    assert not any("other labels count as 'rest'" in line for line in said())


def test_time_steps_that_see_one_another_add_up(start, tmp_path):
    tracker = start(every=1, groups=GROUPS)
    torch.manual_seed(0)
    model = Tagger()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(2):
        x, y = batch()
        loss = fed_back(model, x, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    run, _ = measured(tracker, tmp_path)
    assert run.residual.max() < 1e-5
    np.testing.assert_array_equal(run.counts.sum(1), 32)


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


@pytest.mark.parametrize("way", ["chunks", "time steps"])
def test_chunks_that_a_script_names_count_together(start, tmp_path, way):
    tracker = start(every=1, groups=GROUPS)
    torch.manual_seed(0)
    model = Tagger()
    params = list(model.parameters())
    optimizer = torch.optim.SGD(params, lr=0.1)
    truth, counts = [], []
    for _ in range(3):
        x, y = batch()
        tracker.watch.state = State.BUSY
        losses, labels = (whole if way == "chunks" else stepwise)(model, x, y)
        truth.append(norms(losses / y.numel(), labels, params))
        tracker.watch.state = tracker.watch.of_step
        counts.append([int(torch.isin(y, HEAD).sum()), int((~torch.isin(y, HEAD)).sum())])
        loss = 0
        evaluated = model.head(model(x))  # nobody differentiates it
        gradlens.observe(evaluated.flatten(0, 1), y.flatten())
        parts = model.head(model(x)).unbind(1) if way == "chunks" else model.steps(x)
        for part, t in zip(parts, y.unbind(1), strict=True):
            gradlens.observe(part, t)
            loss = loss - part.log_softmax(1).gather(1, t[:, None]).sum() / y.numel()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    run, found = measured(tracker, tmp_path)
    np.testing.assert_allclose(found, np.array(truth)[run.steps], rtol=1e-5)
    np.testing.assert_array_equal(run.counts, np.array(counts)[run.steps])
    assert np.nan_to_num(run.norm("rest")).max() < 1e-6
