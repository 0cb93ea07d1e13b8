"""Which images are trained on, and whose counts decide the groups."""

import numpy as np

from gradlens.longtail.tasks.choice import choose

LABELS = np.tile(np.arange(3), 100)


def counts(rows):
    return np.bincount(LABELS[rows], minlength=3).tolist()


def test_without_imbalance_all_images_are_taken():
    found = choose(LABELS, None, balanced=False, seed=0)
    assert found.train.tolist() == found.long_tailed.tolist() == list(range(300))


def test_a_long_tailed_subset_decides_the_groups_too():
    found = choose(LABELS, 100.0, balanced=False, seed=0)
    assert counts(found.train) == [100, 10, 1]  # 100 * 100 ** (-j / 2)
    np.testing.assert_array_equal(found.train, found.long_tailed)


def test_a_balanced_subset_is_as_large_and_keeps_the_groups():
    found = choose(LABELS, 100.0, balanced=True, seed=0)
    assert counts(found.train) == [37, 37, 37]
    np.testing.assert_array_equal(found.long_tailed, choose(LABELS, 100.0, balanced=False, seed=0).long_tailed)


def test_the_seed_decides_which_images():
    one, same, other = (set(choose(LABELS, 100.0, balanced=True, seed=seed).train.tolist()) for seed in (0, 0, 1))
    assert one == same
    assert one != other
