"""An output without data belongs to no group."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from gradlens.tracking.find.group_choice import by_frequency, choose_groups
from gradlens.tracking.options import TrackOptions
from tests.tracking.in_process import balanced, finished, said, train


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
