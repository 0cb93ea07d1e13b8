"""From the first labels to the groups: read from the data where they tell, else counted as they pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from gradlens.tracking.find.class_counts import ClassCounts
from gradlens.tracking.find.drawn_samples import DrawnSamples
from gradlens.tracking.find.group_search import COUNTED, GroupSearch, fits, may_be
from gradlens.tracking.options import TrackOptions

COUNTS = (60, 40, 12, 8)
LABELS = torch.cat([torch.full((n,), c) for c, n in enumerate(COUNTS)])
HEAD_TAIL = TrackOptions()


class Stream(IterableDataset):
    """Tells neither its labels nor its length."""

    def __iter__(self):
        return iter(())


def search_of(options=HEAD_TAIL, loader=None, labels=LABELS[:8], known=True) -> GroupSearch:
    loaders = [] if loader is None else [(loader, DrawnSamples(loader.dataset, complete=False))]
    return GroupSearch(options, 4, loaders, labels.clone(), known=known)


def test_counts_of_the_data_give_the_groups_at_once():
    search = search_of(loader=DataLoader(TensorDataset(torch.zeros(len(LABELS), 2), LABELS), 8))
    assert search.counts.tolist() == list(COUNTS)
    groups = search.offer(LABELS[:8], 0, pass_over=False)
    assert {c for ids in groups.classes for c in ids} == {0, 1, 2, 3}


def test_counts_that_lack_a_label_of_the_batch_belong_to_other_data():
    others = TensorDataset(torch.zeros(20, 2), torch.zeros(20).long())
    assert search_of(loader=DataLoader(others, 8), labels=torch.tensor([0, 3])).counts is None


def test_labels_are_counted_until_the_first_pass_is_over():
    search = search_of(loader=DataLoader(Stream(), 40))
    for step, part in enumerate(LABELS[torch.randperm(120)].split(40)):
        assert search.offer(part, step, pass_over=False) is None
    groups = search.offer(LABELS[:40], 3, pass_over=True)
    assert search.counts.tolist() == list(COUNTS)
    assert groups is not None


def test_without_an_end_of_the_pass_counting_ends_after_some_batches():
    search = search_of(loader=DataLoader(Stream(), 8))
    batches = [LABELS[torch.randint(0, 120, (16,))] for _ in range(COUNTED + 1)]
    found = [search.offer(batch, step, pass_over=False) for step, batch in enumerate(batches)]
    assert found[:-1] == [None] * COUNTED
    assert f"labels of the first {COUNTED} backward passes" in found[-1].rule
    assert search.counts is None  # how many images a class has is not known


def test_groups_that_were_named_need_no_counts():
    search = search_of(TrackOptions(groups="a=0-1,b=3"), DataLoader(Stream(), 8))
    groups = search.offer(LABELS[:8], 0, pass_over=False)
    assert groups.classes == ((0, 1), (3,))


def test_labels_that_are_slices_of_one_tensor_tell_its_counts():
    search = GroupSearch(HEAD_TAIL, 4, [], LABELS[8:16])
    assert search.counts.tolist() == list(COUNTS)


def test_a_training_that_ends_while_labels_are_counted_is_told_its_groups():
    search = search_of(loader=DataLoader(Stream(), 8))
    search.offer(LABELS, 0, pass_over=False)
    assert "--groups " in search.unfinished()
    assert "=0" in search.unfinished()


def test_more_classes_are_counted_from_there_on():
    search = search_of(loader=DataLoader(Stream(), 8))
    search.offer(LABELS, 0, pass_over=False)
    search.grow(6)
    search.offer(torch.tensor([5, 5]), 1, pass_over=False)
    search.offer(torch.tensor([0]), 2, pass_over=True)
    assert search.counts.tolist() == [*COUNTS, 0, 2]


@pytest.mark.parametrize(
    ("labels", "found"),
    [
        (torch.tensor([0, 1, -100]), True),
        (torch.tensor([[0], [2]]), False),
        (torch.tensor([7]), True),
        (torch.rand(2, 3), True),
    ],
)
def test_class_counts_that_have_samples_of_each_label(labels, found):
    assert fits(ClassCounts(np.array([5, 1, 0]), "a column"), labels) is found


def test_labels_of_samples_that_were_not_drawn_are_not_theirs():
    claimed = np.array([0, 1, 2, 3])
    drawn = DrawnSamples(None)
    assert may_be(torch.tensor([9]), drawn, claimed)  # nothing was drawn: nothing is known
    drawn.add([3, 1])
    assert may_be(torch.tensor([3, 1]), drawn, claimed)
    assert not may_be(torch.tensor([1, 1]), drawn, claimed)
    assert may_be(torch.rand(2, 4), drawn, claimed)
    drawn.complete = False
    assert may_be(torch.tensor([1, 1]), drawn, claimed)
