"""The digits: splits, class order, and counts."""

import sys

import numpy as np
import pytest
import torch
from sklearn import datasets

from gradlens.longtail.data.digits import load_digits
from gradlens.longtail.errors import DatasetNotFoundError


def test_splits_are_disjoint_and_complete():
    digits = load_digits(3)
    assert digits.test.counts().tolist() == [50] * 10
    assert len(digits.pool) + len(digits.test) == 1797
    everything = torch.cat([digits.pool.images, digits.test.images]).flatten(1)
    original = torch.from_numpy(datasets.load_digits().data / 16).float()
    rows = lambda x: sorted(map(tuple, x.tolist()))  # noqa: E731
    assert rows(everything) == rows(original)


def test_labels_follow_the_class_order():
    digits = load_digits(3)
    bunch = datasets.load_digits()
    digit_of = {
        image.tobytes(): int(d) for image, d in zip((bunch.images / 16).astype(np.float32), bunch.target, strict=True)
    }
    for image, label in zip(digits.pool.images, digits.pool.labels, strict=True):
        assert digit_of[image.numpy().tobytes()] == digits.order[label]
    assert digits.pool.class_names[0] == f"digit {digits.order[0]}"


def test_the_long_tail():
    digits = load_digits(0)
    long_tailed = digits.long_tailed(50)
    # int(124 * 50^(-c/9)) by hand
    assert long_tailed.counts().tolist() == [124, 80, 51, 33, 21, 14, 9, 5, 3, 2]
    assert len(digits.balanced(len(long_tailed))) == len(long_tailed)


def test_the_seed_decides_the_order():
    orders = {load_digits(seed).order for seed in range(5)}
    assert len(orders) == 5
    assert load_digits(1).order == load_digits(1).order


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(DatasetNotFoundError, match="pip install"):
        load_digits()
