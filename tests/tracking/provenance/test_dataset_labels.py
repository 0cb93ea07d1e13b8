"""A place in a batch holds labels if the data set says so: by a column, the name of the place, or as the second item."""

from __future__ import annotations

import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from gradlens.tracking.find.batch_path import parse_path
from gradlens.tracking.find.drawn_samples import DrawnSamples
from gradlens.tracking.provenance.dataset_labels import own_labels
from tests.tracking.provenance.loss_modules import INPUTS, LABELS, Rows

DRAWN = [3, 40, 61, 75, 12, 30]
N = len(LABELS)


def told(path, labels, dataset):
    drawn = DrawnSamples(dataset)
    drawn.add(DRAWN)
    return own_labels(parse_path(path, "--labels"), labels, [(DataLoader(dataset), drawn)])


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("batch[1]", "the second item of the samples"),
        ("batch.label", "named 'label'"),
        ("batch['fine_labels']", "named 'fine_labels'"),
        ("batch[0]", None),
        ("batch[2]", None),
        ("batch.lengths", None),
        ("batch.input_ids", None),
    ],
)
def test_without_columns_the_place_tells(path, source):
    assert told(path, LABELS[DRAWN], Rows(INPUTS, LABELS)) == source


def test_a_column_tells_at_any_place():
    assert told("batch[2]", LABELS[DRAWN], TensorDataset(INPUTS, LABELS)) == "TensorDataset.tensors[1]"
    assert told("batch[2]", LABELS[DRAWN].flip(0), TensorDataset(INPUTS, LABELS)) is None


@pytest.mark.parametrize("dataset", [TensorDataset(INPUTS, torch.arange(N)), Rows(INPUTS, torch.arange(N))])
def test_indices_are_no_labels(dataset):
    assert told("batch[1]", torch.tensor(DRAWN), dataset) is None


def test_a_column_of_ids_holds_no_labels():
    ids = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    assert told("batch[1]", ids[DRAWN], TensorDataset(INPUTS, ids)) is None
