"""Held-out validation images: next in the draw, as many of each class, and no class overtakes a larger one."""

import numpy as np

from gradlens.longtail.data.subset import select_subset
from gradlens.longtail.data.validation import hold_out


def test_the_images_are_those_that_are_drawn_next():
    labels = np.tile([0, 1], 50)
    held_out = hold_out(labels, select_subset(labels, [30, 10], 5), 4, 5)
    assert held_out.lost == 0
    order = np.arange(50)
    rng = np.random.RandomState(5)
    drawn = []
    for c, keep in ((0, 30), (1, 10)):  # the draw of LDAM-DRW: one generator shuffles class after class
        order = np.arange(50)
        rng.shuffle(order)
        drawn += [2 * rank + c for rank in order[keep : keep + 4]]
    assert held_out.validation.indices.tolist() == drawn
    assert held_out.validation.counts.tolist() == [4, 4]
    assert len(held_out.validation.digest) == 12


def test_the_largest_class_stays_the_largest():
    """Class 0 has 12 images and class 1 has 20: where 4 go to validation, 8 of class 0 are left, and no more of class 1."""
    labels = np.repeat([0, 1, 2], [12, 20, 20])
    subset = select_subset(labels, [12, 10, 3], 0)
    held_out = hold_out(labels, subset, 4, 0)
    assert held_out.subset.counts.tolist() == [8, 8, 3]
    assert held_out.lost == 6
    assert held_out.to_json() == {"images_per_class": 4, "images": 12, "images_that_training_lost": 6}
