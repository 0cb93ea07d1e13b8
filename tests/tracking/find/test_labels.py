"""Class counts are those of the labels that are trained on: loaders, columns and samplers that say otherwise do not count."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler, TensorDataset

from gradlens.runlog import Run
from tests.tracking.in_process import said

COUNTS = (60, 40, 12, 8)
OTHERS = (5, 9, 80, 90)


def data(counts=COUNTS, seed=0):
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)])
    return TensorDataset(torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(seed)), labels)


class Relabelled(Dataset):
    """As torchvision's: targets as they lie in the file, and a transform of them."""

    def __init__(self, transform):
        self.rows, self.transform = list(data()), transform
        self.targets = [int(y) for _, y in self.rows]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        x, y = self.rows[index]
        return x, self.transform(int(y))


class Some(Sampler):
    """Draws a part of the data that it does not name."""

    def __init__(self, labels, counts):
        self.indices = torch.cat([(labels == c).nonzero().flatten()[:n] for c, n in enumerate(counts)]).tolist()

    def __iter__(self):
        return iter([self.indices[i] for i in torch.randperm(len(self.indices))])

    def __len__(self):
        return len(self.indices)


def network(outputs=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, outputs))


def step(model, optimizer, x, y):
    loss = F.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1)


def train(loader, epochs=2):
    model = network()
    optimizer = sgd(model)
    for _ in range(epochs):
        for x, y in loader:
            step(model, optimizer, x, y)


def counts(tracker):
    found = tracker.attaching.attachment.search.counts
    return None if found is None else tuple(found.tolist())


def test_the_validation_loader_that_was_opened_last_does_not_count(start):
    tracker = start(every=1)
    model, training = network(), DataLoader(data(), 20, shuffle=True)
    optimizer = sgd(model)
    iterator = iter(training)
    iter(DataLoader(data(OTHERS), 20))
    for x, y in iterator:
        step(model, optimizer, x, y)

    assert counts(tracker) == COUNTS
    assert tracker.lens is not None


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loader_that_is_read_beside_it_does_not_count(start, workers):
    tracker = start(every=1)
    model = network()
    optimizer = sgd(model)
    labelled, unlabelled = (
        DataLoader(each, 20, shuffle=True, num_workers=workers) for each in (data(), data(OTHERS, seed=1))
    )
    for (x, y), (u, _) in zip(labelled, unlabelled, strict=False):
        step(model, optimizer, torch.cat([x, u])[: len(x)], y)

    assert counts(tracker) == COUNTS


def test_the_column_that_is_trained_on_counts(start):
    x, y = data().tensors
    tracker = start(every=1)
    model = network()
    optimizer = sgd(model)
    other = torch.arange(len(y)) % 4
    for x_, y_, _ in DataLoader(TensorDataset(x, y, other), 20, shuffle=True):
        step(model, optimizer, x_, y_)

    assert counts(tracker) == COUNTS
    assert "TensorDataset.tensors[1]" in said()[0]


def test_labels_that_are_transformed_are_counted_as_they_pass(start):
    tracker = start(every=1)
    train(DataLoader(Relabelled(lambda y: 3 - y), 20, shuffle=True), epochs=1)
    assert tracker.lens is None
    train(DataLoader(Relabelled(lambda y: 3 - y), 20, shuffle=True), epochs=1)

    assert counts(tracker) == COUNTS[::-1]


def test_a_sampler_that_leaves_out_samples_has_them_counted_as_they_pass(start):
    tracker = start(every=1)
    whole = data((50, 50, 50, 50))
    loader = DataLoader(whole, 20, sampler=Some(whole.tensors[1], (5, 12, 30, 50)))
    train(loader)

    assert counts(tracker) == (5, 12, 30, 50)


def test_frequencies_are_no_class_counts_where_passes_have_no_end(start, tmp_path):
    x, y = data().tensors
    tracker = start(every=1)
    model = network()
    optimizer = sgd(model)
    for _ in range(27):
        for chosen in torch.randperm(len(y)).split(30):
            step(model, optimizer, x[chosen], y[chosen])

    assert counts(tracker) is None
    # Seen 26 times, each class had more than 20 images; only the order is known.
    tracker.lens.close()
    groups = Run(tmp_path / "run").groups
    assert groups.classes == ((0, 1, 2), (3,))
    assert "the number of images of a class is not known" in groups.rule
