"""Counts against the published figures of CIFAR100-LT."""

import hashlib

import numpy as np
import pytest

from gradlens.groups import ClassGroups
from gradlens.longtail.data.counts import balanced_counts, head_size, long_tailed_counts
from gradlens.longtail.errors import LongTailError

# imbalance: (total, smallest, many/medium/few, C1, head images, digest of the counts as comma-joined text)
PUBLISHED = {
    50: (12608, 10, (41, 41, 18), 82, 12359, "8f43f6eb10ed"),
    100: (10847, 5, (35, 35, 30), 70, 10542, "a86899e02756"),
    200: (9502, 2, (30, 31, 39), 61, 9198, "7b521240327b"),
}


@pytest.mark.parametrize("imbalance", PUBLISHED)
def test_cifar100_lt_equals_the_published_counts(imbalance):
    total, smallest, shots, c1, head_images, digest = PUBLISHED[imbalance]
    counts = long_tailed_counts(100, 500, imbalance)
    assert counts.sum() == total
    assert (counts[0], counts[-1]) == (500, smallest)
    assert tuple(len(ids) for ids in ClassGroups.shots(counts).classes) == shots
    assert head_size(counts) == c1
    assert counts[:c1].sum() == head_images
    assert hashlib.sha256(",".join(map(str, counts.tolist())).encode()).hexdigest().startswith(digest)
    assert ClassGroups.head_tail(counts).classes[0] == tuple(range(c1))


def test_cifar10_lt_equals_the_published_counts():
    counts = long_tailed_counts(10, 5000, 100)
    assert counts.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    assert counts.sum() == 12406


def test_the_profile_truncates():
    # 10 * 10^(-1/2) = 3.16, 10 * 10^(-1) = 1
    assert long_tailed_counts(3, 10, 10).tolist() == [10, 3, 1]
    assert long_tailed_counts(1, 7, 5).tolist() == [7]
    assert long_tailed_counts(4, 9, 1).tolist() == [9] * 4


def test_balanced_counts_keep_the_total():
    assert balanced_counts(3, 8).tolist() == [3, 3, 2]
    counts = balanced_counts(100, 10847)
    assert counts.sum() == 10847
    assert np.ptp(counts) == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((10, 20, 0.5), "imbalance=0.5"),
        ((10, 20, float("nan")), "imbalance=nan"),
        ((10, 20, 50), "at most 20"),
        ((0, 5, 2), "num_classes=0"),
    ],
)
def test_impossible_profiles_are_refused(arguments, says):
    with pytest.raises(LongTailError, match=says):
        long_tailed_counts(*arguments)


def test_fewer_images_than_classes_are_refused():
    with pytest.raises(LongTailError, match="total=4"):
        balanced_counts(5, 4)


@pytest.mark.parametrize("counts", [[100, 50, 20], [19, 3]])
def test_a_head_of_none_or_all_is_refused(counts):
    with pytest.raises(LongTailError, match=r"C1 = .* --set head_classes=N"):
        head_size(counts)
