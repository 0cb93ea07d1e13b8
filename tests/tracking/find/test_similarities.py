"""Positions in a batch are no classes; labels that the script names for its embeddings are."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gradlens
from gradlens.tracking.watch.state import State
from tests.tracking.in_process import balanced, finished, said, train


def embeddings(x, model):
    torch.manual_seed(len(x))
    return F.normalize(model(x + 0.1 * torch.randn_like(x)), dim=1), F.normalize(model(x), dim=1)


def info_nce(a, b):
    """The positive comes first, as in MoCo."""
    similar, own = a @ b.T, torch.eye(len(a), dtype=torch.bool)
    logits = torch.cat([similar[own].view(-1, 1), similar[~own].view(len(a), -1)], 1)
    return F.cross_entropy(logits / 0.1, torch.zeros(len(a), dtype=torch.long))


def nt_xent(a, b):
    """As in SimCLR: the other view of a row lies half of the batch away."""
    z = torch.cat([a, b])
    similar = (z @ z.T / 0.5).masked_fill(torch.eye(len(z), dtype=torch.bool), -1e9)
    return F.cross_entropy(similar, (torch.arange(len(z)) + len(a)) % len(z))


def nt_xent_without_itself(a, b):
    z, rows = torch.cat([a, b]), torch.arange(2 * len(a))
    similar = (z @ z.T / 0.5)[~torch.eye(len(z), dtype=torch.bool)].view(len(z), -1)
    other = (rows + len(a)) % len(z)
    return F.cross_entropy(similar, other - (other > rows).long())


def dense_retrieval(a, b):
    """Each question has its passage and a hard negative, as in DPR."""
    passages = torch.stack([b, b.flip(0)], 1).flatten(0, 1)
    return F.cross_entropy(a @ passages.T, 2 * torch.arange(len(a)))


def clip(a, b):
    rows = torch.arange(len(a))
    return (F.cross_entropy(a @ b.T / 0.1, rows) + F.cross_entropy(b @ a.T / 0.1, rows)) / 2


def one_hot_positions(a, b):
    return F.cross_entropy(a @ b.T / 0.1, torch.eye(len(a)))


def first(similar):
    """Puts the positive first, as ``info_nce``."""
    own = torch.eye(len(similar), dtype=torch.bool)
    logits = torch.cat([similar[own].view(-1, 1), similar[~own].view(len(similar), -1)], 1)
    return F.cross_entropy(logits / 0.1, torch.zeros(len(similar), dtype=torch.long))


def by_distance(a, b):
    return first(-torch.cdist(a, b))


def by_broadcast(a, b):
    return first((a[:, None] * b).sum(2))


def by_cosine_similarity(a, b):
    return first(F.cosine_similarity(a[:, None], b, dim=2))


def by_difference(a, b):
    return first(-(a[:, None] - b).square().sum(2))


def moco(a, b):
    """Negatives lie in a queue, whose gradient is not wanted."""
    queue = F.normalize(torch.randn(31, a.shape[1], generator=torch.Generator().manual_seed(0)), dim=1)
    logits = torch.cat([(a * b.detach()).sum(1, keepdim=True), a @ queue.T], 1)
    return F.cross_entropy(logits / 0.1, torch.zeros(len(a), dtype=torch.long))


LOSSES = (
    info_nce, nt_xent, nt_xent_without_itself, dense_retrieval, clip, one_hot_positions, by_distance, by_broadcast,
    by_cosine_similarity, by_difference, moco,
)  # fmt: skip


# As many similarities as an embedding has numbers look like the outputs of the layer that makes it: here of 32 rows.
@pytest.mark.parametrize("width", [8, 32])
@pytest.mark.parametrize("loss", LOSSES)
def test_positions_in_a_batch_are_no_classes(start, loss, width):
    tracker = start(every=1)
    model = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, width))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, _ in DataLoader(balanced(rows=100), 32):
        optimizer.zero_grad()
        loss(*embeddings(x, model)).backward()
        optimizer.step()
    assert tracker.lens is None
    assert any("is contrastive and tells no classes" in line for line in said()), said()


class Cosine(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body, self.weight = nn.Linear(20, 16), nn.Parameter(torch.randn(classes, 16))

    def forward(self, x):
        return F.linear(F.normalize(self.body(x)), F.normalize(self.weight)) * 10


class Frozen(nn.Module):
    """The classes' texts are embedded once, as in zero-shot heads."""

    def __init__(self, classes):
        super().__init__()
        self.body = nn.Linear(20, 16)
        self.register_buffer("texts", torch.randn(classes, 16))

    def forward(self, x):
        return F.normalize(self.body(x)) @ self.texts.T


class Prototypes(nn.Module):
    """A learned point for each class, and the distances to it."""

    def __init__(self, classes):
        super().__init__()
        self.body, self.points = nn.Linear(20, 16), nn.Parameter(torch.randn(classes, 16))

    def forward(self, x):
        return -torch.cdist(self.body(x), self.points)


class Differences(Prototypes):
    def forward(self, x):
        return -(self.body(x)[:, None] - self.points).square().sum(2)


class Experts(nn.Module):
    """The logits of three layers, weighed by a gate."""

    def __init__(self, classes):
        super().__init__()
        self.experts, self.gate = nn.ModuleList(nn.Linear(20, classes) for _ in range(3)), nn.Linear(20, 3)

    def forward(self, x):
        logits = torch.stack([expert(x) for expert in self.experts], 1)
        return (self.gate(x).softmax(1)[:, :, None] * logits).sum(1)


NETWORKS = {
    "Linear": lambda c: nn.Linear(20, c),
    "weight norm": lambda c: nn.utils.parametrizations.weight_norm(nn.Linear(20, c)),
    "Cosine": Cosine,
    "Prototypes": Prototypes,
    "Differences": Differences,
    "Experts": Experts,
    "Frozen": Frozen,
}


@pytest.mark.parametrize("rows", [4, 7])
def test_small_batches_are_contrastive_too(start, rows):
    """Label 0 in each row, and products of embeddings: nothing of that is a class."""
    tracker = start(every=1)
    model = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, rows))
    for x, _ in DataLoader(balanced(rows=4 * rows), rows):
        info_nce(*embeddings(x, model)).backward()
    assert tracker.lens is None
    assert any("is contrastive and tells no classes" in line for line in said()), said()


@pytest.mark.parametrize("groups", [None, "a=0-1,b=2-3"])
def test_own_positions_in_small_batches_are_no_classes(start, groups):
    """As CLIP does it, with as many rows as the groups have classes."""
    tracker = start(every=1, groups=groups)
    images, texts = nn.Linear(20, 8), nn.Linear(10, 8)
    optimizer = torch.optim.SGD([*images.parameters(), *texts.parameters()], lr=0.1)
    for _ in range(4):
        s = 10 * F.normalize(images(torch.randn(4, 20))) @ F.normalize(texts(torch.randn(4, 10))).T
        y = torch.arange(4)
        optimizer.zero_grad()
        ((F.cross_entropy(s, y) + F.cross_entropy(s.T, y)) / 2).backward()
        optimizer.step()
    assert tracker.lens is None
    assert any("is contrastive and tells no classes" in line for line in said()), said()


@pytest.mark.parametrize("network", ["Linear", "Cosine", "Prototypes", "Differences"])
def test_a_small_batch_of_one_sample_of_each_class_is_no_contrastive_loss(start, tmp_path, network):
    tracker = start(every=1, groups="a=0-1,b=2-3")
    torch.manual_seed(0)
    y = torch.arange(4).repeat(6)
    train(NETWORKS[network](4), DataLoader(TensorDataset(torch.randn(24, 20), y), 4))
    assert len(finished(tracker, tmp_path)) >= 4


# As many classes as the body has outputs, too: 16.
@pytest.mark.parametrize(("network", "missed"), [(name, 3 if name == "Frozen" else 0) for name in NETWORKS])
@pytest.mark.parametrize("classes", [3, 16, 30])
def test_a_batch_of_one_class_is_no_contrastive_loss(start, tmp_path, network, missed, classes):
    """The data are sorted by class: the first batches have label 0 only. A frozen head shows that with the first other label."""
    tracker = start(every=1)
    torch.manual_seed(0)
    y = torch.arange(3).repeat_interleave(30)
    train(NETWORKS[network](classes), DataLoader(TensorDataset(torch.randn(90, 20), y), 10))
    run = finished(tracker, tmp_path)
    assert len(run) >= 9 - missed - 2, run.steps
    assert run.counts.sum() == 10 * len(run)


def similar(z, y):
    """Supervised contrastive loss."""
    s = z @ z.T / 0.5 - torch.eye(len(z)) * 1e9
    same = (y[:, None] == y) & ~torch.eye(len(z), dtype=torch.bool)
    return -((s.log_softmax(1) * same).sum(1) / same.sum(1).clamp(min=1)).mean()


@pytest.mark.parametrize("groups", [None, "a=0-1,b=2-3"])
@pytest.mark.parametrize("width", [3, 16])
def test_classes_of_embeddings_come_from_the_data(start, tmp_path, width, groups):
    tracker = start(every=1, groups=groups)
    torch.manual_seed(0)
    y = torch.repeat_interleave(torch.arange(4), torch.tensor([60, 40, 12, 8]))
    model = nn.Linear(20, width)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    truth = []
    for x, t in DataLoader(TensorDataset(torch.randn(120, 20), y), 30, shuffle=True):
        z = F.normalize(model(x))
        gradlens.observe(z, t)
        loss = similar(z, t)
        (cotangent,) = torch.autograd.grad(loss, z, retain_graph=True)
        tracker.watch.state = State.BUSY
        parts = ((t < 2)[:, None] * cotangent, (t >= 2)[:, None] * cotangent)
        vectors = [torch.autograd.grad(z, list(model.parameters()), part, retain_graph=True) for part in parts]
        truth.append([float(sum(g.square().sum() for g in vector) ** 0.5) for vector in vectors])
        tracker.watch.state = tracker.watch.of_step
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    run = finished(tracker, tmp_path)
    assert run.groups.num_classes == 4
    assert sorted(c for ids in run.groups.classes for c in ids) == [0, 1, 2, 3]
    if width != 4:
        assert np.isnan(run.loss).all()  # embeddings are no logits
    if groups:
        found = np.stack([run.norm("a"), run.norm("b")], 1)
        np.testing.assert_allclose(found, np.array(truth)[run.steps], rtol=1e-4)
