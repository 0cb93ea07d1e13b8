"""Classes are renumbered from the most to the least frequent."""

import numpy as np
import pytest

from gradlens.longtail.data.frequency import head_to_tail
from gradlens.longtail.errors import LongTailError


def test_the_most_frequent_class_is_zero_and_ties_keep_their_order():
    labels = np.repeat([0, 1, 2, 3], [2, 5, 2, 9])
    assert head_to_tail(labels).tolist() == [2, 1, 3, 0]
    counts = np.bincount(head_to_tail(labels)[labels])
    assert counts.tolist() == [9, 5, 2, 2]


def test_a_class_without_images_is_named():
    with pytest.raises(LongTailError, match=r"1 of 3 classes have no training image \(first ids: \[1\]\)"):
        head_to_tail(np.array([0, 2]))
    with pytest.raises(LongTailError, match=r"2 of 4 classes .*first ids: \[2, 3\]"):
        head_to_tail(np.array([0, 1]), num_classes=4)
    with pytest.raises(LongTailError, match="all of 0 classes"):
        head_to_tail(np.array([], dtype=int))


def test_many_ties_keep_their_order():
    labels = np.repeat(np.arange(100), np.tile([1, 2], 50))
    new = head_to_tail(labels)
    assert new[1::2].tolist() == list(range(50))
    assert new[::2].tolist() == list(range(50, 100))
