"""Images that stay in files: what is read, in which order, and what an unreadable one costs."""

import numpy as np
import pytest
import torch
from PIL import Image

from gradlens.longtail.data.image_files import ImageFiles
from gradlens.longtail.errors import LongTailError


def pixels(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


@pytest.fixture
def paths(tmp_path):
    found = []
    for value in range(4):
        found.append(tmp_path / f"{value}.png")
        Image.fromarray(np.full((2, 3), 40 * value, np.uint8)).save(found[-1])  # grey
    return found


def darker(image):
    return pixels(image) // 2


def split_of(paths, workers=0):
    return ImageFiles(
        paths, np.array([7, 8, 9, 7]), ("x",) * 10, augment=darker, prepare=pixels, workers=workers, digest="digest"
    )


@pytest.mark.parametrize("workers", [0, 1])
def test_files_become_batches_in_the_order_asked_for(paths, workers):
    batches = split_of(paths, workers).batches(torch.tensor([2, 0, 3]), 2, augmented=False)
    (first, labels), (last, one) = batches
    assert first.shape == (2, 3, 2, 3)  # grey images get three channels
    assert (first[:, 0, 0, 0].tolist(), labels.tolist()) == ([80, 0], [9, 7])
    assert (last[0, 2, 1, 2].item(), one.tolist()) == (120, [7])


def test_training_and_evaluation_have_their_own_transform(paths):
    split = split_of(paths)
    ((images, _),) = split.batches(torch.tensor([3]), 2, augmented=True)
    assert images[0, 0, 0, 0].item() == 60
    assert (split.labels.tolist(), split.digest) == ([7, 8, 9, 7], "digest")


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read_is_named(paths, workers):
    paths[1].write_bytes(b"no image")
    paths[2].unlink()
    split = split_of(paths, workers)
    for row in (1, 2):
        with pytest.raises(LongTailError, match=rf"{row}\.png cannot be read as an image \(.*copy it again") as caught:
            list(split.batches(torch.tensor([0, row]), 2, augmented=False))
        assert "Traceback" not in str(caught.value)
    assert len(list(split.batches(torch.tensor([0, 3]), 2, augmented=False))) == 1  # nobody asked for them
