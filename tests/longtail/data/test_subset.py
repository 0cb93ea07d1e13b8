"""Subsets against the published draw of CIFAR100-LT."""

import numpy as np
import pytest

from gradlens.longtail.data.subset import balanced_subset, long_tailed_subset, select_subset
from gradlens.longtail.errors import LongTailError

LABELS = np.tile(np.arange(100), 500)  # interleaved: image r is sample r // 100 of class r % 100


def test_the_published_ranks_are_kept():
    subset = long_tailed_subset(LABELS, 100)
    assert subset.ranks[0][:5] == (90, 254, 283, 445, 461)
    assert subset.ranks[99] == (348, 153, 363, 361, 299)
    assert len(subset.indices) == len(set(subset.indices)) == 10847
    assert np.bincount(LABELS[subset.indices]).tolist() == subset.counts.tolist()
    np.testing.assert_array_equal(subset.indices[:5], np.array([90, 254, 283, 445, 461]) * 100)


def test_subsets_nest():
    by_imbalance = {imbalance: set(long_tailed_subset(LABELS, imbalance).indices) for imbalance in (50, 100, 200)}
    assert by_imbalance[200] < by_imbalance[100] < by_imbalance[50]


def test_the_digest_depends_on_the_choice_and_not_on_the_file_order():
    blocks = np.sort(LABELS)
    assert long_tailed_subset(LABELS, 100).digest == long_tailed_subset(blocks, 100).digest
    others = {
        long_tailed_subset(LABELS, 100, seed=1).digest,
        long_tailed_subset(LABELS, 50).digest,
        balanced_subset(LABELS, 10847).digest,
    }
    assert len(others | {long_tailed_subset(LABELS, 100).digest}) == 4


def test_the_balanced_subset_has_the_same_size():
    subset = balanced_subset(LABELS, 10847)
    counts = np.bincount(LABELS[subset.indices])
    assert counts.tolist() == [109] * 47 + [108] * 53


def test_hand_worked_draw():
    rng = np.random.RandomState(3)
    first, second = rng.permutation(3), rng.permutation(2)
    subset = select_subset([1, 0, 0, 1, 0], [2, 1], seed=3)
    assert subset.indices.tolist() == [*np.array([1, 2, 4])[first[:2]], np.array([0, 3])[second[0]]]


def test_a_class_with_too_few_images_is_refused():
    with pytest.raises(LongTailError, match="class 1 has 1 images, 2 are to be kept"):
        select_subset([0, 0, 1], [1, 2])


def test_too_large_an_imbalance_names_the_smallest_class():
    labels = np.repeat([0, 1, 2], [30, 5, 25])
    assert long_tailed_subset(labels, 5).counts.tolist() == [5, 2, 1]
    says = "class 1 is the smallest, and no class keeps more than its 5 images; choose an imbalance of at most 5"
    with pytest.raises(LongTailError, match=says):
        long_tailed_subset(labels, 100)


def test_a_class_without_images_is_refused():
    with pytest.raises(LongTailError, match=r"without any image: \[1\]"):
        long_tailed_subset([0, 2, 2], 2)
