"""The latest batches are kept while somebody needs them, and nothing of gradlens stands in the loader afterwards."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from gradlens.tracking.find.batch_path import parse_path
from gradlens.tracking.provenance.batches import KEPT, Batches

Y = torch.arange(12) % 3


def loader(y=Y):
    return DataLoader(TensorDataset(torch.randn(len(y), 2), y), 2)


def failed(error):
    raise error


@pytest.fixture
def batches():
    ordinary = _BaseDataLoaderIter.__next__
    found = Batches(failed)
    yield found
    found.stop()
    assert _BaseDataLoaderIter.__next__ is ordinary


def test_the_last_batch_of_each_loader_may_be_in_use(batches):
    for (_, y), (_, other) in zip(loader(), loader(Y + 10), strict=True):
        assert [tensors["batch[1]"] is known for tensors, known in zip(batches.tensors(), (other, y), strict=True)] or (
            y is other
        )
    assert [tensors["batch[1]"].tolist() for tensors in batches.tensors()] == [other.tolist(), y.tolist()]


def test_batches_that_are_read_in_advance_stay(batches):
    iterator = iter(loader())
    first, second = next(iterator), next(iterator)
    batches.used()
    assert batches.ahead
    third = next(iterator)
    assert batches.latest == [third, second, first][:KEPT]


def test_evaluations_are_not_kept(batches):
    with torch.no_grad():
        list(loader())
    assert batches.latest == []


def test_only_the_labels_are_kept_once_their_place_is_known(batches):
    list(loader())
    batches.only((parse_path("batch[1]", "--labels"),))
    assert batches.latest[0].keys() == {"batch[1]"}
    _, y = next(iter(loader()))
    assert batches.tensors()[0]["batch[1]"] is y


def test_an_error_of_ours_does_not_reach_the_loop():
    seen = []
    batches = Batches(seen.append)
    batches.only((parse_path("batch[7]", "--labels"),))
    assert len(list(loader())) == 6
    assert len(seen) == 6
    batches.stop()


def test_columns_that_may_be_labels_are_remembered():
    batches = Batches(failed)
    list(DataLoader(TensorDataset(torch.randn(4, 2), torch.arange(4), torch.rand(4), torch.arange(4) % 2), 2))
    batches.stop()
    batches.stop()
    assert batches.columns == ["batch[1]", "batch[3]"]
    assert batches.latest == []
