"""A class is what the data has: neither an output without data, nor a position in a batch, nor what a teacher says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

import gradlens
from gradlens.runlog import Run
from gradlens.tracking.find.group_choice import by_frequency, choose_groups
from gradlens.tracking.options import TrackOptions
from tests.tracking.in_process import said


def finished(tracker, folder):
    tracker.lens.close()
    run = Run(folder / "run")
    assert not [event for event in run.events if event["kind"] == "internal-error"], run.events
    return run


def train(model, batches, loss=F.cross_entropy):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in batches:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()


def balanced(classes=3, rows=90):
    torch.manual_seed(0)
    y = torch.arange(rows) % classes
    return TensorDataset(torch.randn(rows, 20) + y[:, None], y)


@pytest.mark.parametrize("asked", [None, "per-class"])
def test_outputs_without_data_belong_to_no_group(start, tmp_path, asked):
    tracker = start(every=1, groups=asked)
    data, model = balanced(), nn.Linear(20, 1000)
    for _ in range(3):
        train(model, DataLoader(data, 9, shuffle=True))

    run = finished(tracker, tmp_path)
    assert sorted(c for ids in run.groups.classes for c in ids) == [0, 1, 2]
    assert len(run.groups) == (3 if asked else 2)
    assert any("of 1000 outputs (1000 outputs, 3 classes have data;" in line for line in said()), said()
    assert run.residual.max() < 1e-5
    assert np.nan_to_num(run.norm("rest")).max() == 0
    # The mean share of a balanced group is its part of the classes, give or take the chance of batches.
    shares = np.array([np.nan_to_num(run.share(name)).mean() for name in run.groups.names])
    assert np.abs(shares - run.groups.fractions()).sum() / 2 < 0.15


class Stream(IterableDataset):
    def __init__(self, data):
        self.data = data

    def __iter__(self):
        return iter(self.data)


def test_counted_labels_tell_which_outputs_have_data(start, tmp_path):
    tracker = start(every=1)
    model, loader = nn.Linear(20, 50), DataLoader(Stream(balanced()), 9)
    for _ in range(3):
        train(model, loader)
    run = finished(tracker, tmp_path)
    assert sorted(c for ids in run.groups.classes for c in ids) == [0, 1, 2]


def test_a_class_that_comes_later_is_rest_and_said(start, tmp_path):
    tracker = start(every=1)
    data = balanced()
    model = nn.Linear(20, 10)
    train(model, DataLoader(data, 9))
    assert not any("seemed to have none" in line for line in said()), said()
    train(model, [(x, y + 5) for x, y in DataLoader(data, 9)])

    run = finished(tracker, tmp_path)
    assert any("labels of class 5, 6, 7, of which the training data seemed to have none" in line for line in said()), (
        said()
    )
    assert (run.norm("rest")[-5:] > 0.01).all()
    assert (run.counts[-5:] == 0).all()


@pytest.mark.parametrize(
    ("counts", "groups"),
    [
        ([90, 0, 30, 5], {"head": (0, 2), "tail": (3,)}),
        ([0, 40, 0, 50], {"head": (3,), "tail": (1,)}),
        ([0, 40, 0], {"1": (1,)}),
    ],
)
def test_groups_that_follow_from_counts(counts, groups):
    found = choose_groups(TrackOptions(), len(counts), np.array(counts), "somewhere")
    assert dict(zip(found.names, found.classes, strict=True)) == groups
    assert found.rule.startswith(f"{len(counts)} outputs, {len([c for c in counts if c])} classes have data")


@pytest.mark.parametrize(("counts", "grouped"), [([50, 20, 3, 1, 0], 5), ([50, 20, 3, 2, 0], 4)])
def test_of_a_stream_rare_classes_may_be_yet_to_come(counts, grouped):
    """A class that was seen once tells that others may not have been seen yet."""
    assert sum(len(ids) for ids in by_frequency(np.array(counts), "labels").classes) == grouped


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


OTHER_LOSSES = (nt_xent, nt_xent_without_itself, dense_retrieval, clip, one_hot_positions)


# As many similarities as an embedding has numbers look like the outputs of the layer that makes it: not with the first loss.
@pytest.mark.parametrize(("loss", "width"), [(info_nce, 8), *((loss, n) for loss in OTHER_LOSSES for n in (8, 32))])
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


@pytest.mark.parametrize(("network", "missed"), [(lambda c: nn.Linear(20, c), 0), (Cosine, 0), (Frozen, 3)])
@pytest.mark.parametrize("classes", [3, 30])
def test_a_batch_of_one_class_is_no_contrastive_loss(start, tmp_path, network, missed, classes):
    """The data are sorted by class: the first batches have label 0 only. A frozen head shows that with the first other label."""
    tracker = start(every=1)
    torch.manual_seed(0)
    y = torch.arange(3).repeat_interleave(30)
    train(network(classes), DataLoader(TensorDataset(torch.randn(90, 20), y), 10))
    run = finished(tracker, tmp_path)
    assert len(run) >= 9 - missed - 2, run.steps
    assert run.counts.sum() == 10 * len(run)


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
    from tests.tracking.in_process import trackers

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
    from gradlens.tracking.find.targets import hardened, varies

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
        tracker.busy = True
        parts = ((t < 2)[:, None] * cotangent, (t >= 2)[:, None] * cotangent)
        vectors = [torch.autograd.grad(z, list(model.parameters()), part, retain_graph=True) for part in parts]
        truth.append([float(sum(g.square().sum() for g in vector) ** 0.5) for vector in vectors])
        tracker.busy = False
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
