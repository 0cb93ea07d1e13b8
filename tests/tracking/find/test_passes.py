"""Which loader trains, and how many passes over its data have begun."""

from __future__ import annotations

import gc

import torch
from torch.utils.data import DataLoader, Dataset, TensorDataset

from gradlens.tracking.find.passes import CANDIDATES, DataPasses


def loader(rows: int = 8, batch_size: int = 2) -> DataLoader:
    return DataLoader(TensorDataset(torch.zeros(rows)), batch_size)


def test_passes_over_the_training_data_are_counted():
    passes, trains, validates = DataPasses(), loader(), loader(4)
    passes.began(trains)
    passes.settle(trains)
    assert passes.count == 1
    assert not passes.began(validates)
    assert passes.began(trains)
    assert passes.began(DataLoader(trains.dataset, 4))  # another loader of the same data
    assert passes.count == 3


def test_data_that_are_made_anew_for_each_epoch():
    passes = DataPasses()
    first, like_it, other = loader(), loader(), loader(9)
    passes.settle(first)
    assert not passes.began(like_it)  # the first are still there: these may be validation data
    del first
    gc.collect()
    assert not passes.began(other)
    assert passes.began(like_it)
    third = loader()
    assert not passes.began(third)  # now those of the second epoch are there
    del like_it
    gc.collect()
    assert passes.began(third)


def test_a_training_can_move_on_to_other_data():
    passes, first, second = DataPasses(), loader(), loader(9)
    passes.settle(first)
    passes.began(second)
    passes.move_on()
    assert not passes.began(first)
    assert passes.began(second)


def test_data_without_a_length_or_of_builtin_types():
    class Stream(Dataset):
        def __len__(self):
            raise TypeError

        def __getitem__(self, index):
            return index

    passes, stream, listed = DataPasses(), DataLoader(Stream(), sampler=range(3)), DataLoader([1, 2, 3])
    passes.settle(stream)
    assert passes.began(stream)
    passes.settle(listed)
    assert not passes.began(listed)  # a list takes no weak reference: nothing tells it from another
    passes.settle(None)
    assert not passes.began(stream)


def test_those_that_were_read_are_likelier_than_those_that_were_opened():
    passes, read, opened, later = DataPasses(), loader(), loader(9), loader(10)
    for each in (read, opened, later):
        passes.began(each)
    assert [found for found, _ in passes.candidates] == [later, opened, read]
    passes.drew(read.dataset, [0, 1])
    passes.drew(read.dataset, [2, 3])
    ((found, drawn),) = passes.candidates
    assert found is read
    assert len(drawn) == 2
    assert drawn.complete
    passes.settle(read)
    assert passes.candidates == []


def test_a_loader_whose_first_batches_nobody_saw_is_a_candidate():
    passes, each = DataPasses(), loader()
    passes.opened(each)
    ((found, drawn),) = passes.candidates
    assert found is each
    assert not drawn.complete


def test_few_loaders_are_remembered():
    passes, loaders = DataPasses(), [loader(rows) for rows in range(1, CANDIDATES + 3)]
    for each in loaders:
        passes.began(each)
    assert [found for found, _ in passes.candidates] == loaders[: -CANDIDATES - 1 : -1]
