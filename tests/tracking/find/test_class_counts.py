"""Class counts are read from the datasets that people use, and only where they are certain."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from gradlens.tracking.find.class_counts import count_classes

LABELS = [0, 0, 0, 1, 1, 2]


class WithAttribute(Dataset):
    def __init__(self, name, value):
        setattr(self, name, value)

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, index):
        raise AssertionError("no sample is to be loaded")


class Wrapper(Dataset):
    def __init__(self, inner):
        self.inner = inner

    def __len__(self):
        return len(self.inner)


class Stream(IterableDataset):
    targets = LABELS

    def __iter__(self):
        yield from LABELS


class Moody(Dataset):
    targets = property(lambda self: 1 / 0)

    def __len__(self):
        return len(LABELS)

    def __getattr__(self, name):
        raise RuntimeError("asked for " + name)


class Columns(Dataset):
    """Looks like a Hugging Face data set."""

    column_names = ("image", "label")

    def __len__(self):
        return len(LABELS)

    def __getitem__(self, key):
        assert key == "label"
        return LABELS


def counted(dataset, classes=4, **options):
    found = count_classes(DataLoader(dataset, **options), classes)
    return None if found is None else found.counts.tolist()


@pytest.mark.parametrize("name", ["targets", "labels", "_labels", "y"])
@pytest.mark.parametrize(
    "kind", [list, np.array, torch.tensor, lambda x: torch.tensor(x)[:, None], lambda x: np.uint8(x)]
)
def test_attributes_with_labels_count(name, kind):
    assert counted(WithAttribute(name, kind(LABELS))) == [3, 2, 1, 0]


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(LABELS[:-1], id="too few"),
        pytest.param([0.5] * 6, id="regression targets"),
        pytest.param([0, 1, 2, 3, 4, 5], id="more classes than the model has"),
        pytest.param([-1, 0, 0, 0, 0, 0], id="negative"),
        pytest.param(torch.zeros(6, 4, dtype=torch.long), id="several for each sample"),
        pytest.param("abcdef", id="text"),
        pytest.param(None, id="none"),
    ],
)
def test_what_cannot_be_class_ids_does_not_count(value):
    assert counted(WithAttribute("targets", value)) is None


def test_tensor_dataset_gives_its_last_integer_vector():
    tokens, labels = torch.zeros(6, 5, dtype=torch.long), torch.tensor(LABELS)
    assert counted(TensorDataset(torch.randn(6, 3), labels)) == [3, 2, 1, 0]
    assert counted(TensorDataset(labels, tokens)) == [3, 2, 1, 0]
    assert counted(TensorDataset(torch.arange(6) % 2, labels)) == [3, 2, 1, 0]
    assert counted(TensorDataset(tokens)) is None


def test_subsets_and_concatenations_count_what_they_hold():
    whole = TensorDataset(torch.randn(6, 3), torch.tensor(LABELS))
    assert counted(Subset(whole, [0, 3, 5])) == [1, 1, 1, 0]
    assert counted(Subset(Subset(whole, [5, 4, 3]), [0, 1])) == [0, 1, 1, 0]
    assert counted(ConcatDataset([whole, Subset(whole, [5]), WithAttribute("labels", LABELS)])) == [6, 4, 3, 0]
    assert counted(ConcatDataset([whole, WithAttribute("names", LABELS)])) is None
    assert counted(Wrapper(whole)) == [3, 2, 1, 0]


def test_image_folders_count_their_samples():
    assert counted(WithAttribute("samples", [("a.png", label) for label in LABELS])) == [3, 2, 1, 0]
    assert counted(Columns()) == [3, 2, 1, 0]


def test_samplers_that_leave_samples_out_count_only_what_is_drawn():
    whole = TensorDataset(torch.randn(6, 3), torch.tensor(LABELS))
    assert counted(whole, sampler=SubsetRandomSampler([0, 5])) == [1, 0, 1, 0]
    # These draw from everything; the class counts of the data do not change.
    assert counted(whole, sampler=WeightedRandomSampler([1.0] * 6, 100)) == [3, 2, 1, 0]
    assert counted(whole, sampler=BatchSampler(RandomSampler(whole), 2, False), batch_size=None) == [3, 2, 1, 0]
    assert counted(whole, sampler=BatchSampler(SubsetRandomSampler([3]), 2, False), batch_size=None) == [0, 1, 0, 0]


def test_streams_and_datasets_that_raise_do_not_count():
    assert counted(Stream()) is None
    assert counted(Moody()) is None


def test_reading_counts_draws_no_random_number():
    before = torch.get_rng_state()
    counted(TensorDataset(torch.tensor(LABELS)), shuffle=True)
    assert torch.equal(before, torch.get_rng_state())
