"""Batches of images in memory: their order, their augmentation, and their preparation."""

import torch

from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import TensorImages

LABELS = torch.tensor([3, 1, 4, 1, 5, 9])
DATA = ImageSet(torch.arange(6, dtype=torch.uint8).reshape(6, 1, 1, 1), LABELS, tuple("abcdefghij"), "digest")


def read(split, positions, size, **more):
    return [
        (images.flatten().tolist(), labels.tolist())
        for images, labels in split.batches(torch.tensor(positions), size, **more)
    ]


def test_images_come_in_the_order_asked_for_and_the_last_batch_may_be_smaller():
    split = TensorImages(DATA, "cpu")
    assert read(split, [5, 0, 2], 2, augmented=False) == [([5, 0], [9, 3]), ([2], [4])]
    assert (split.labels.tolist(), split.digest, split.class_names) == (LABELS.tolist(), "digest", DATA.class_names)


def test_augmentation_comes_before_preparation_and_only_where_asked_for():
    split = TensorImages(DATA, "cpu", prepare=lambda x: x * 10, augment=lambda x, generator: x + 1)
    assert read(split, [0, 1], 2, augmented=False) == [([0, 10], [3, 1])]
    assert read(split, [0, 1], 2, augmented=True) == [([10, 20], [3, 1])]


def test_a_seed_gives_one_augmentation_and_leaves_the_global_state():
    split = TensorImages(DATA, "cpu", augment=lambda x, generator: x + torch.rand(len(x), 1, 1, 1, generator=generator))
    before = torch.get_rng_state()
    one, again, other = (read(split, [0, 1, 2], 2, augmented=True, seed=seed) for seed in (1, 1, 2))
    assert one == again
    assert one != other
    assert torch.equal(torch.get_rng_state(), before)
