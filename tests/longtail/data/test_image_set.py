"""The images of a split in memory."""

import torch

from gradlens.longtail.data.image_set import ImageSet


def test_a_class_without_images_counts_zero():
    images = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    data = ImageSet(images, torch.tensor([2, 0, 2, 2]), ("a", "b", "c", "d"), "digest")
    assert data.counts().tolist() == [1, 0, 3, 0]
    assert (data.num_classes, len(data)) == (4, 4)


def test_a_copy_on_a_device_keeps_everything_else():
    data = ImageSet(torch.zeros(1, 1, 2, 2), torch.tensor([0]), ("a",), "digest")
    moved = data.to("meta")
    assert (moved.images.device.type, moved.labels.device.type) == ("meta", "meta")
    assert (moved.class_names, moved.digest) == (("a",), "digest")
