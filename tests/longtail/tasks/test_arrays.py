"""A task from files of arrays: classes from head to tail, digests, and what is refused."""

import numpy as np
import pytest
import torch

from gradlens.longtail.data.counts import long_tailed_counts
from gradlens.longtail.errors import DatasetNotFoundError, LongTailError
from gradlens.longtail.methods import CE, DUAL_PHASE
from gradlens.longtail.tasks.arrays import arrays_task
from gradlens.longtail.training.fit import fit
from tests.longtail.tasks.files import write_arrays


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


@pytest.mark.parametrize("imbalance", [None, 10])
def test_a_validation_split_of_arrays(tmp_path, imbalance):
    task = arrays_task(write_arrays(tmp_path / "a.npz", [40] * 5), imbalance=imbalance, validation=3)
    assert list(task.evaluations) == ["validation", "test"]
    held = task.evaluations["validation"]
    assert torch.bincount(held.labels).tolist() == [3] * 5
    assert task.counts.tolist() == ([37] * 5 if imbalance is None else [37, 22, 12, 7, 4])
    assert torch.bincount(task.train.labels).tolist() == task.counts.tolist()
    both = [split._data.images.flatten(1).double() for split in (task.train, held)]
    assert float(torch.cdist(*both).min()) > 0  # noise tells all images apart
    # the labels are those of the images: class c has the value 20 c
    means = [both[1][held.labels == c].mean() for c in range(5)]
    assert means == pytest.approx([20 * c + 2 for c in range(5)], abs=0.5)


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


def test_the_backbone_is_checked_before_training(tmp_path):
    task = arrays_task(write_arrays(tmp_path / "a.npz", [4, 3]))
    for backbone in ("vgg-16", "resnet-33"):
        with pytest.raises(LongTailError, match=r"resnet-20|6 n \+ 2"):
            CE.on(task, {"backbone": backbone}).network()
