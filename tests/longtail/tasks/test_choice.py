"""Which images are trained on, and whose counts decide the groups."""

import numpy as np
import pytest

from gradlens.longtail.data.subset import balanced_subset
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.tasks.choice import choose

LABELS = np.tile(np.arange(3), 100)


def counts(rows):
    return np.bincount(LABELS[rows.indices], minlength=3).tolist()


def test_without_imbalance_all_images_are_taken():
    found = choose(LABELS, None, balanced=False, seed=0)
    assert found.train.indices.tolist() == found.long_tailed.indices.tolist() == list(range(300))
    assert found.held_out is None


def test_a_long_tailed_subset_decides_the_groups_too():
    found = choose(LABELS, 100.0, balanced=False, seed=0)
    assert counts(found.train) == [100, 10, 1]  # 100 * 100 ** (-j / 2)
    assert found.train is found.long_tailed


def test_a_balanced_subset_is_as_large_and_keeps_the_groups():
    found = choose(LABELS, 100.0, balanced=True, seed=0)
    assert counts(found.train) == [37, 37, 37]
    long_tailed = choose(LABELS, 100.0, balanced=False, seed=0).long_tailed
    np.testing.assert_array_equal(found.long_tailed.indices, long_tailed.indices)


def test_the_seed_decides_which_images():
    one, same, other = (
        set(choose(LABELS, 100.0, balanced=True, seed=seed).train.indices.tolist()) for seed in (0, 0, 1)
    )
    assert one == same
    assert one != other


@pytest.mark.parametrize(("imbalance", "balanced"), [(100.0, False), (100.0, True), (None, False), (None, True)])
def test_validation_images_are_as_many_of_each_class_and_not_trained_on(imbalance, balanced):
    found = choose(LABELS, imbalance, balanced, 0, validation=5)
    held = found.held_out.validation
    assert counts(held) == [5, 5, 5]
    assert not set(held.indices) & set(found.train.indices)
    assert len(set(held.indices)) == 15


def test_images_that_the_subset_leaves_out_come_first():
    without, found = choose(LABELS, 100.0, False, 0), choose(LABELS, 100.0, False, 0, validation=5)
    # class 0 keeps all of its 100 images, so 5 are missing; the others have 90 and 99 left
    assert counts(found.train) == [95, 10, 1]
    assert found.held_out.lost == 5
    assert set(found.train.indices) < set(without.train.indices)


def test_a_subset_that_leaves_enough_out_stays_as_it_is():
    without, found = choose(LABELS, 2.0, True, 0), choose(LABELS, 2.0, True, 0, validation=5)
    # 100, 70 and 50 images: 215 are left with validation, which are 72 + 72 + 71 of 100
    assert counts(without.train) == [74, 73, 73]
    assert counts(found.train) == [72, 72, 71]
    assert found.held_out.lost == 0
    assert found.train.digest == balanced_subset(LABELS, 215).digest


def test_all_images_lose_the_validation_images_and_keep_their_order():
    found = choose(LABELS, None, False, 3, validation=7)
    assert found.held_out.lost == 21
    assert found.train.indices.tolist() == sorted(set(range(300)) - set(found.held_out.validation.indices))
    assert found.train.counts.tolist() == [93, 93, 93]
    other = choose(LABELS, None, False, 4, validation=7)
    assert set(other.held_out.validation.indices) != set(found.held_out.validation.indices)


@pytest.mark.parametrize(("validation", "says"), [(0, "validation=0"), (100, "choose at most 99"), (-3, "at least 1")])
def test_too_many_validation_images_are_refused(validation, says):
    with pytest.raises(LongTailError, match=says):
        choose(LABELS, 100.0, False, 0, validation)
    with pytest.raises(LongTailError, match="train without a validation split"):
        choose(np.array([0, 0, 0, 1]), None, False, 0, validation=1)
