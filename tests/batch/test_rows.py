"""Which rows belong to which group, for every form of labels."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from gradlens import ClassGroups
from gradlens.batch.rows import LabelsError, group_rows, mask_rows

GROUPS = ClassGroups({"a": [0, 2], "b": [1]}, 4)  # class 3 is in no group


def test_class_ids() -> None:
    rows = group_rows(torch.tensor([0, 1, 2, 3, -100, 2]), GROUPS, torch.zeros(6, 4))
    assert rows.weights.tolist() == [[1, 0], [0, 1], [1, 0], [0, 0], [0, 0], [1, 0]]
    assert rows.counts == (3.0, 1.0)
    assert rows.untracked == 2.0
    assert [index.tolist() for index in rows.index] == [[0, 2, 5], [1]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int32, torch.int64])
def test_integer_dtypes(dtype: torch.dtype) -> None:
    assert group_rows(torch.tensor([3, 1], dtype=dtype), GROUPS, torch.zeros(2, 4)).counts == (0.0, 1.0)


@pytest.mark.parametrize("anchor", [(2, 3, 4), (2, 4, 3), (2, 3, 9)])
def test_token_labels(anchor: tuple[int, ...]) -> None:
    rows = group_rows(torch.tensor([[0, 1, 1], [3, 0, -100]]), GROUPS, torch.zeros(anchor))
    assert rows.weights.shape == (2, 3, 2)
    assert rows.counts == (2.0, 2.0)
    assert rows.index[1].tolist() == [1, 2]


def test_soft_labels_are_split_by_their_fraction() -> None:
    labels = torch.tensor([[1.0, 0, 0, 0], [0.5, 0.25, 0, 0.25], [3, 1, 0, 0], [0, 0, 0, 0]])
    rows = group_rows(labels, GROUPS, torch.zeros(4, 4))
    torch.testing.assert_close(rows.weights, torch.tensor([[1, 0], [0.5, 0.25], [0.75, 0.25], [0, 0]]))
    assert rows.counts == (4.5, 1.25)
    assert rows.untracked == pytest.approx(1.25)
    assert [index.tolist() for index in rows.index] == [[0, 1, 2], [1, 2]]


def test_soft_labels_of_images_have_their_classes_second() -> None:
    labels = torch.rand(2, 4, 3, 5)
    rows = group_rows(labels, GROUPS, torch.zeros(2, 4, 3, 5))
    assert rows.weights.shape == (2, 3, 5, 2)
    torch.testing.assert_close(rows.weights[..., 1], labels[:, 1] / labels.sum(1))


def test_rounding_leaves_nothing_untracked() -> None:
    groups = ClassGroups({"a": [0, 2], "b": [1, 3]}, 4)
    labels = torch.softmax(torch.randn(1000, 4), 1)
    assert group_rows(labels, groups, torch.zeros(1000, 4)).untracked == 0


@pytest.mark.parametrize(
    ("labels", "anchor", "message"),
    [
        (torch.tensor([0, 1]), (3, 4), r"labels of shape \[2\] do not fit the anchor of shape \[3, 4\]"),
        (torch.tensor(1), (4,), "a single sample without a batch"),
        (torch.rand(4), (4,), "a single sample without a batch"),
        (torch.tensor([[0, 1], [1, 0]]), (2, 2, 2), "fit the anchor.* in two ways"),
        (torch.tensor([0, 4]), (2, 4), "label 4 is no class id: the groups are over 4 classes, ids 0 to 3"),
        (torch.tensor([True, False]), (2, 4), "dtype torch.bool"),
        (torch.tensor([0j, 1j]), (2, 4), "dtype torch.complex64"),
        (torch.rand(2, 3), (2, 4), "one column for each of the 4 classes"),
        (torch.rand(3, 4), (2, 4), r"labels of shape \[3\] do not fit"),
        (torch.tensor([[0.5, -0.5, 1, 0]]), (1, 4), "hold -0.5; class masses must not be negative"),
        ([0, 1], (2, 4), "labels are list"),
    ],
)
def test_labels_that_do_not_fit(labels: Tensor, anchor: tuple[int, ...], message: str) -> None:
    with pytest.raises(LabelsError, match=message):
        group_rows(labels, GROUPS, torch.zeros(anchor))


def test_an_ignored_label_is_no_class_even_if_it_looks_like_one() -> None:
    rows = group_rows(torch.tensor([0, 1, 1]), GROUPS, torch.zeros(3, 4), ignore_index=1)
    assert rows.counts == (1.0, 0.0)
    assert rows.untracked == 2.0


@pytest.mark.parametrize("shape", [(3,), (3, 5), (3, 5, 2, 2)])
def test_masking_scales_rows_and_stops_nan(shape: tuple[int, ...]) -> None:
    cotangent = torch.randn(shape)
    cotangent[1] = float("nan")
    masked = mask_rows(cotangent, torch.tensor([0.5, 0.0, 1.0]))
    torch.testing.assert_close(masked[0], 0.5 * cotangent[0])
    assert (masked[1] == 0).all()
    assert torch.equal(masked[2], cotangent[2])


def test_masking_of_token_labels_with_the_classes_second() -> None:
    cotangent, weights = torch.randn(2, 7, 3), torch.rand(2, 3)
    torch.testing.assert_close(mask_rows(cotangent, weights), cotangent * weights[:, None, :])
    assert mask_rows(cotangent.bfloat16(), weights).dtype == torch.bfloat16
