"""Which samples of a batch the rows of a loss are: only where it is certain."""

from __future__ import annotations

import torch

from gradlens.tracking.members.rows_in_batch import values_of_rows

LABELS = torch.tensor([3, 1, 0, 2, 1, 0])
VALUES = torch.tensor([10, 11, 12, 13, 14, 15])


def found(labels: torch.Tensor, source: torch.Tensor = LABELS, values: torch.Tensor = VALUES) -> list[int] | None:
    result = values_of_rows(labels, source, values)
    return None if result is None else result.tolist()


def test_the_whole_batch_itself_or_a_copy() -> None:
    assert found(LABELS) == found(LABELS.clone()) == found(LABELS.int()) == VALUES.tolist()


def test_a_part_of_the_batch() -> None:
    assert found(LABELS[2:5]) == [12, 13, 14]


def test_views_one_after_another_or_side_by_side() -> None:
    assert found(LABELS.repeat(2)) == [*VALUES.tolist(), *VALUES.tolist()]
    assert found(LABELS.repeat_interleave(2))[:4] == [10, 10, 11, 11]


def test_two_places_with_the_same_labels_must_have_the_same_values() -> None:
    assert found(torch.tensor([1, 0])) is None  # two windows
    same = torch.tensor([9, 1, 2, 9, 1, 2])
    assert found(torch.tensor([1, 0]), torch.tensor([3, 1, 0, 2, 1, 0]), same) == [1, 2]
    assert found(torch.zeros(4).long(), torch.zeros(2).long(), torch.tensor([5, 6])) is None  # tiled or repeated


def test_a_slice_of_the_batch_itself_is_certain_even_if_its_labels_come_twice() -> None:
    batch = torch.tensor([1, 0, 1, 0, 2, 2])
    assert found(batch[2:4], batch) == [12, 13]
    assert found(batch[2:4].clone(), batch) is None
    assert found(batch[::2], batch) is None


def test_other_labels_are_not_matched() -> None:
    assert found(LABELS.flip(0)) is None
    assert found(LABELS[:, None]) is None
    assert found(LABELS.float()) is None
    assert found(torch.tensor(3)) is None
    assert found(LABELS[:0]) is None


def test_labels_of_pixels() -> None:
    pixels = torch.arange(24).reshape(6, 2, 2) % 5
    assert found(pixels[1:3].clone(), pixels) == [11, 12]
