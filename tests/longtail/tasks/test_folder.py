"""A task from a folder of images, one folder a class."""

import os

import numpy as np
import pytest
import torch
from PIL import Image

from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.methods import DUAL_PHASE
from gradlens.longtail.tasks.arrays import arrays_task
from gradlens.longtail.tasks.folder import folder_task
from gradlens.longtail.training.fit import fit
from tests.longtail.tasks.files import write_arrays


def test_the_digest_tells_image_files_apart(tmp_path):
    counts = {"ant": 3, "bee": 2}
    first, copy, renamed = (write_folder(tmp_path / name / "photos", counts) for name in ("a", "b", "c"))
    (renamed / "train" / "ant" / "000.jpg").rename(renamed / "train" / "ant" / "other.jpg")
    digests = [folder_task(root, size=32).train.digest for root in (first, copy, renamed)]
    assert digests[0] == digests[1] != digests[2]


def write_folder(root, counts, splits=("train", "test"), side=24):
    for split in splits:
        for name, count in counts.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count if split == "train" else 1):
                Image.new("RGB", (side, side + number), (number * 9 % 255, 80, 10)).save(folder / f"{number:03}.jpg")
    return root


def test_an_image_folder(tmp_path):
    root = write_folder(tmp_path / "photos", {"ant": 3, "bee": 9, "cat": 5}, ("train", "val", "test"))
    task = folder_task(root, size=32)
    assert task.name == "photos"
    assert task.counts.tolist() == [9, 5, 3]
    assert task.train.class_names == ("bee", "cat", "ant")
    assert list(task.evaluations) == ["val", "test"]
    images, labels = next(task.train.batches(torch.tensor([0, 3, 12]), 3, augmented=True))
    assert images.shape == (3, 3, 32, 32)
    assert labels.tolist() == [2, 0, 1]
    assert folder_task(root, imbalance=3, size=32).counts.tolist() == [3, 1, 1]


def test_a_validation_split_of_an_image_folder(tmp_path):
    root = write_folder(tmp_path / "photos", {"ant": 3, "bee": 9, "cat": 5})
    whole, task = folder_task(root, size=32), folder_task(root, size=32, validation=2)
    assert list(task.evaluations) == ["validation", "test"]
    assert task.counts.tolist() == [7, 3, 1]
    assert sorted(task.evaluations["validation"].labels.tolist()) == [0, 0, 1, 1, 2, 2]
    paths = [set(images._views[False]._paths) for images in (whole.train, task.train, task.evaluations["validation"])]
    assert paths[1] | paths[2] == paths[0]
    assert not paths[1] & paths[2]
    assert task.train.digest != whole.train.digest
    with pytest.raises(LongTailError, match=r"class 0 has 3 images, and validation=3.*choose at most 2"):
        folder_task(root, size=32, validation=3)
    both = write_folder(tmp_path / "both", {"ant": 3, "bee": 9}, ("train", "val", "test"))
    with pytest.raises(LongTailError, match="val/ is the validation split"):
        folder_task(both, size=32, validation=1)


def test_an_image_folder_is_trained_with_worker_processes(tmp_path):
    root = write_folder(tmp_path / "photos", {"ant": 25, "bee": 5})
    results = []
    for _ in range(2):
        task = folder_task(root, size=32, workers=1)
        recipe = DUAL_PHASE.on(task, {"backbone": "resnet-10", "epochs": 1, "batch": 16, "memory": 2})
        results.append(fit(recipe, task, seed=1))
    assert results[0].history[-1]["loss"] == results[1].history[-1]["loss"]
    assert results[0].learner.selected.tolist() == results[1].learner.selected.tolist()
    assert len(results[0].learner.selected) == 7


def test_wrong_image_folders_are_named(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="needs a folder train/"):
        folder_task(tmp_path)
    root = write_folder(tmp_path / "photos", {"ant": 2, "bee": 2})
    (root / "test" / "cow").mkdir()
    with pytest.raises(LongTailError, match="'cow', which train/ does not have"):
        folder_task(root)
    (root / "test" / "cow").rmdir()
    (root / "train" / "empty").mkdir()
    with pytest.raises(LongTailError, match="has no image in 1 of 3 folders, the first is 'empty'"):
        folder_task(root)
    (root / "train" / "empty").rmdir()
    (root / "val").mkdir()
    with pytest.raises(LongTailError, match="val has no image to evaluate on"):
        folder_task(root)
    empty = {"x_test": np.zeros((0, 8, 8, 3), np.uint8), "y_test": np.zeros(0, int)}
    arrays = write_arrays(tmp_path / "a.npz", [2, 2], **empty)
    with pytest.raises(LongTailError, match=r"x_test of .* holds no image"):
        arrays_task(arrays)


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_cannot_be_read_is_named_in_one_line(tmp_path, workers):
    root = write_folder(tmp_path / "photos", {"ant": 2, "bee": 2})
    broken = root / "train" / "ant" / "000.jpg"
    broken.write_bytes(b"no picture")
    task = folder_task(root, size=32, workers=workers)
    with pytest.raises(LongTailError) as raised:
        list(task.train.batches(torch.arange(4), 4, augmented=False))
    assert str(raised.value).startswith(f"{broken} cannot be read as an image (")
    assert str(raised.value).endswith("); copy it again")
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("error:This DataLoader will create")
def test_more_workers_than_cores_are_as_many_as_cores(tmp_path):
    root = write_folder(tmp_path / "photos", {"ant": 2, "bee": 1})
    task = folder_task(root, size=32, workers=len(os.sched_getaffinity(0)) + 1)
    assert len(next(task.train.batches(torch.arange(3), 3, augmented=False))[1]) == 3
