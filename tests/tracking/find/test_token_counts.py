"""Tokens of a data set are counted only where the labels of a batch prove that they are its tokens."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from gradlens.tracking.find.drawn_samples import DrawnSamples
from gradlens.tracking.find.token_counts import count_tokens

G = torch.Generator().manual_seed(0)
TABLE = torch.randint(0, 9, (12, 6), generator=G)
DRAWN = [3, 0, 7, 11]


class Lists(Dataset):
    """Rows of different lengths, under the name that Transformers' collators expect."""

    def __init__(self):
        self.input_ids = [row[: 3 + n % 4].tolist() for n, row in enumerate(TABLE)]

    def __len__(self):
        return len(self.input_ids)

    def __getitem__(self, index):
        return self.input_ids[index]


def counted(dataset, labels, *, drawn=DRAWN, ignored=-100, loader=None):
    seen = DrawnSamples(dataset)
    seen.add([1, 2])
    seen.add(drawn)
    return count_tokens(loader or DataLoader(dataset, 4, shuffle=True), seen, labels, 9, ignored)


def by_hand(tokens, ignored=-100):
    counts = [0] * 9
    for token in tokens:
        if token >= 0 and token != ignored:
            counts[token] += 1
    return counts


def test_labels_that_are_the_rows():
    data = TensorDataset(torch.zeros(12, 6), TABLE)
    found = counted(data, TABLE[DRAWN].view(-1))
    assert found.source == "TensorDataset.tensors[1]"
    assert found.counts.tolist() == by_hand(TABLE.flatten().tolist())


def test_the_first_token_of_a_row_is_no_label_where_labels_are_shifted():
    data = Lists()
    rows = [data.input_ids[i] for i in DRAWN]
    longest = max(map(len, rows))
    labels = torch.tensor([[*row[1:], *[-100] * (longest - len(row) + 1)] for row in rows])
    found = counted(data, labels)
    assert found.source == "Lists.input_ids"
    assert found.counts.tolist() == by_hand([token for row in data.input_ids for token in row[1:]])


def test_padding_that_is_a_token_id_is_not_counted():
    data = TensorDataset(TABLE)
    assert counted(data, TABLE[DRAWN], ignored=4).counts.tolist() == by_hand(TABLE.flatten().tolist(), ignored=4)


def test_a_part_of_a_data_set():
    data = Subset(TensorDataset(TABLE), [5, 6, 7, 8])
    found = counted(data, TABLE[[6, 8]], drawn=[1, 3])
    assert found.counts.tolist() == by_hand(TABLE[5:9].flatten().tolist())


@pytest.mark.parametrize(
    "labels",
    [
        TABLE[DRAWN].flip(0)[:3],  # fewer rows than were drawn
        (TABLE[DRAWN] + 1) % 9,  # other tokens
        TABLE[DRAWN][:, 2:],  # another part of each row
        TABLE[DRAWN].float(),
    ],
)
def test_other_labels_are_not_these_tokens(labels):
    assert counted(TensorDataset(TABLE), labels) is None


def test_a_data_set_that_was_not_seen_from_the_first_batch_on_proves_nothing():
    data = TensorDataset(TABLE)
    early = DrawnSamples(data, complete=False)
    early.add(DRAWN)
    assert count_tokens(DataLoader(data, 4), early, TABLE[DRAWN], 9, -100) is None


def test_a_sampler_that_leaves_samples_out():
    data = TensorDataset(TABLE)
    loader = DataLoader(data, 4, sampler=torch.utils.data.SubsetRandomSampler(DRAWN))
    assert counted(data, TABLE[DRAWN], loader=loader) is None


def test_rows_that_are_no_token_ids_are_left_alone():
    class Odd(Lists):
        def __init__(self):
            self.input_ids = [np.zeros((2, 2))] * 12

    assert counted(Odd(), TABLE[DRAWN]) is None
