"""Hashes of training images: what they depend on, and what not."""

import hashlib

import numpy as np
import torch

from gradlens.longtail.data.digests import files_digest, images_digest


def test_files_are_hashed_as_lines_of_path_and_label():
    wanted = hashlib.sha256(b"a/1.png 0\nb/2.png 7\n").hexdigest()[:12]
    assert files_digest(["a/1.png", "b/2.png"], np.array([0, 7])) == wanted
    assert files_digest(["b/2.png", "a/1.png"], np.array([7, 0])) != wanted
    assert files_digest(["a/1.png", "b/2.png"], np.array([0, 8])) != wanted
    assert len(files_digest(["\udcff.png"], np.array([0]))) == 12  # a name that is no text


def test_images_are_hashed_by_shape_labels_and_pixels():
    images = torch.arange(24, dtype=torch.uint8).reshape(2, 1, 3, 4)
    labels = np.array([0, 1])
    wanted = images_digest(images, labels)
    pixels = bytes(range(24))
    assert wanted == hashlib.sha256(b"(2, 1, 3, 4)" + labels.astype("<i8").tobytes() + pixels).hexdigest()[:12]
    assert (
        images_digest(images.transpose(2, 3).contiguous().transpose(2, 3), labels) == wanted
    )  # another layout in memory
    assert images_digest(images.reshape(2, 1, 4, 3), labels) != wanted
    assert images_digest(images, np.array([1, 0])) != wanted
    changed = images.clone()
    changed[1, 0, 2, 3] += 1
    assert images_digest(changed, labels) != wanted
