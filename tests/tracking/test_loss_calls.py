"""Loss calls on parts of a batch count together, each by its own labels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import gradlens
from gradlens.tracking.watch.state import State
from tests.tracking.group_norms import GROUPS, HEAD, C, measured, norms
from tests.tracking.in_process import said


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
