"""Tasks from arrays, image folders and CIFAR: order of classes, counts, evaluation splits, one epoch of each."""

import dataclasses
import os

import numpy as np
import pytest
import torch
from PIL import Image

from gradlens.longtail.data.counts import long_tailed_counts
from gradlens.longtail.data.image_set import ImageSet
from gradlens.longtail.data.labelled_images import TensorImages
from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.methods import CE, DUAL_PHASE
from gradlens.longtail.tasks.arrays import arrays_task
from gradlens.longtail.tasks.cifar import cifar_task
from gradlens.longtail.tasks.folder import folder_task
from gradlens.longtail.tasks.loading import load_task
from gradlens.longtail.training.fit import fit


def write_arrays(path, counts, *, shape=(8, 8, 3), **changes):
    labels = np.repeat(np.arange(len(counts)), counts)
    rng = np.random.default_rng(0)
    # every image of class c has the value 20 c, plus noise
    images = (20 * labels.reshape(-1, *[1] * len(shape)) + rng.integers(0, 5, (len(labels), *shape))).astype(np.uint8)
    test = np.repeat(np.arange(len(counts)), 2)
    arrays = {
        "x_train": images, "y_train": labels, "y_test": test,
        "x_test": (20 * test.reshape(-1, *[1] * len(shape)) + np.zeros((1, *shape), int)).astype(np.uint8),
    }  # fmt: skip
    np.savez(path, **(arrays | changes))
    return path


def test_arrays_are_renumbered_from_head_to_tail(tmp_path):
    task = arrays_task(write_arrays(tmp_path / "a.npz", [3, 30, 7]))
    assert task.counts.tolist() == [30, 7, 3]
    assert task.train.class_names == ("1", "2", "0")
    assert torch.bincount(task.train.labels).tolist() == [30, 7, 3]
    assert torch.bincount(task.evaluations["test"].labels).tolist() == [2, 2, 2]
    images, labels = next(task.train.batches(torch.arange(40), 40, augmented=False))
    assert images.shape == (40, 3, 8, 8)
    # old class 1 (value 20) is now class 0, old class 2 (value 40) class 1: brighter images have the higher old id
    means = [images[labels == c].mean() for c in range(3)]
    assert means[2] < means[0] < means[1]
    assert images.mean((0, 2, 3)).abs().max() < 1e-4
    assert images.std((0, 2, 3)).sub(1).abs().max() < 1e-2


def test_arrays_made_long_tailed_and_balanced(tmp_path):
    path = write_arrays(tmp_path / "a.npz", [40] * 5)
    task = arrays_task(path, imbalance=10)
    assert task.counts.tolist() == long_tailed_counts(5, 40, 10).tolist()
    even = arrays_task(path, imbalance=10, balanced=True)
    assert even.counts.tolist() == task.counts.tolist()
    assert len(even.train.labels) == len(task.train.labels)
    assert np.ptp(torch.bincount(even.train.labels).numpy()) <= 1
    assert even.train.digest != task.train.digest


@pytest.mark.parametrize("imbalance", [None, 3])
def test_the_digest_tells_images_apart(tmp_path, imbalance):
    def digest(folder):
        return arrays_task(folder / "a.npz", imbalance=imbalance).train.digest

    for name in ("first", "same", "brighter"):
        (tmp_path / name).mkdir()
        write_arrays(tmp_path / name / "a.npz", [9, 6])
    with np.load(tmp_path / "first" / "a.npz") as stored:
        changed = {**stored, "x_train": stored["x_train"] + np.uint8(1)}
    np.savez(tmp_path / "brighter" / "a.npz", **changed)
    assert digest(tmp_path / "first") == digest(tmp_path / "same") != digest(tmp_path / "brighter")


def test_the_digest_tells_image_files_apart(tmp_path):
    counts = {"ant": 3, "bee": 2}
    first, copy, renamed = (write_folder(tmp_path / name / "photos", counts) for name in ("a", "b", "c"))
    (renamed / "train" / "ant" / "000.jpg").rename(renamed / "train" / "ant" / "other.jpg")
    digests = [folder_task(root, size=32).train.digest for root in (first, copy, renamed)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 1), (3, 8, 8)])
def test_shapes_of_arrays(tmp_path, shape):
    task = arrays_task(write_arrays(tmp_path / "a.npz", [4, 3], shape=shape))
    assert next(task.train.batches(torch.arange(2), 2, augmented=True))[0].shape == (2, 3, 8, 8)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"x_train": np.zeros((40, 8, 8))}, "type float64; give images as bytes"),
        ({"x_train": np.zeros((40, 8, 8, 2), np.uint8)}, r"shape \(40, 8, 8, 2\)"),
        ({"y_train": np.zeros(39, int)}, "needed are 40 class ids"),
        ({"y_train": np.full(40, 2)}, "2 of 3 classes have no training image"),
        ({"y_test": np.full(6, 9)}, "class 9, which y_train does not have"),
        ({"y_test": np.array([object()] * 6)}, "cannot be read as .npz"),
    ],
)
def test_wrong_arrays_are_named(tmp_path, changes, says):
    with pytest.raises(LongTailError, match=says):
        arrays_task(write_arrays(tmp_path / "a.npz", [3, 30, 7], **changes))


def test_files_that_are_no_arrays(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="is no file"):
        arrays_task(tmp_path / "absent.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(LongTailError, match="cannot be read as"):
        arrays_task(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", images=np.zeros(3))
    with pytest.raises(LongTailError, match="has the arrays images; missing: x_train"):
        arrays_task(tmp_path / "other.npz")


def test_arrays_are_learnt(tmp_path):
    task = arrays_task(write_arrays(tmp_path / "a.npz", [60, 40, 15, 8], shape=(16, 16)))
    recipe = DUAL_PHASE.on(task, {"backbone": "resnet-8", "epochs": 6, "batch": 16})
    fitted = fit(recipe, task)
    assert fitted.learner.model.classifier.weight.shape[0] == 4
    assert fitted.final["test"]["overall"] > 50


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


def test_unknown_data_sets_are_answered_with_the_known_ones(tmp_path):
    with pytest.raises(DatasetNotFoundError, match="cifar100-lt"):
        load_task("cifar-100")
    with pytest.raises(LongTailError, match="leave --imbalance"):
        load_task("places-lt", data=tmp_path, imbalance=10)


def test_lists_are_looked_for_in_the_folder_or_in_one_named_after_the_data_set(tmp_path, monkeypatch):
    within = tmp_path / "inaturalist2018"
    within.mkdir()
    for split in ("train", "val"):
        lines = [f"{split}/{number}.jpg {number % 2}" for number in range(4)]
        (within / f"iNaturalist18_{split}.txt").write_text("\n".join(lines))
        (within / split).mkdir()
        for number in range(4):
            Image.new("RGB", (8, 8)).save(within / split / f"{number}.jpg")
    monkeypatch.chdir(within)
    monkeypatch.delenv("GRADLENS_DATA", raising=False)
    assert load_task("inaturalist2018", data=within).source == str(within)
    assert load_task("inaturalist2018", data=tmp_path).source == str(within)
    with pytest.raises(DatasetNotFoundError, match=f"not in {within}/data/inaturalist2018"):
        load_task("inaturalist2018")
    monkeypatch.setenv("GRADLENS_DATA", str(tmp_path))
    assert load_task("inaturalist2018").source == str(within)
    with pytest.raises(DatasetNotFoundError, match=f"not in {within}/elsewhere"):
        load_task("inaturalist2018", data="elsewhere")
    (within / "iNaturalist18_val.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(LongTailError, match="cannot be read as a list of images"):
        load_task("inaturalist2018")


def test_the_digits_by_name():
    assert load_task("digits").counts.tolist() == [124, 80, 51, 33, 21, 14, 9, 5, 3, 2]
    assert load_task("digits", balanced=True).counts.tolist() == load_task("digits").counts.tolist()


def test_the_backbone_is_checked_before_training(tmp_path):
    task = arrays_task(write_arrays(tmp_path / "a.npz", [4, 3]))
    for backbone in ("vgg-16", "resnet-33"):
        with pytest.raises(LongTailError, match=r"resnet-20|6 n \+ 2"):
            CE.on(task, {"backbone": backbone}).network()


@pytest.mark.slow
def test_real_cifar(cifar100_root):
    task = cifar_task(cifar100_root, imbalance=100)
    assert len(task.train.labels) == 10_847
    assert len(task.evaluations["test"].labels) == 10_000
    recipe = DUAL_PHASE.on(task, {"epochs": 1})
    assert recipe.settings["retention_weight"] == pytest.approx(1.5275, abs=1e-4)
    assert sum(p.numel() for p in CE.on(task).network().parameters()) == 470_004
    # 10,000 test images four times over would take minutes
    few = dataclasses.replace(
        task,
        evaluations={
            "test": TensorImages(
                ImageSet(
                    *next(task.evaluations["test"].batches(torch.arange(200), 200, augmented=False)),
                    task.train.class_names,
                ),
                "cpu",
            )
        },
    )
    fitted = fit(recipe, few, max_steps=2)
    assert len(fitted.learner.selected) == 700 + 305
