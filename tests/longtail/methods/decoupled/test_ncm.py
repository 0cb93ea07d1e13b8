"""NCM: its scores worked out by hand, the means of a training, what it shares with `ce`, and what is refused."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import CE, find_method
from gradlens.longtail.methods.decoupled.ncm import NearestMean
from gradlens.longtail.tasks.digits import SETTINGS
from gradlens.longtail.training.branching import branch_point
from gradlens.longtail.training.checkpoint import FILE
from gradlens.longtail.training.fit import fit
from tests.longtail.same_state import assert_same
from tests.longtail.tiny_training import tiny_task

NCM = find_method("ncm")


def test_scores_worked_out_by_hand():
    """Features (4, 0), (2, 0) of class 0 and (0, 3) of class 1: their mean is (2, 1), that of the classes' means (1.5, 1.5)."""
    classifier = NearestMean(2, 2).double()
    features = torch.tensor([[4.0, 0.0], [2.0, 0.0], [0.0, 3.0]], dtype=torch.float64)
    classifier.set_means(features, torch.tensor([0, 0, 1]))
    root5, root8 = math.sqrt(5), math.sqrt(8)
    # u: (2, -1) / sqrt 5, (0, -1) and (-2, 2) / sqrt 8; the mean of the first two is not of unit length
    zero, one = (1 / root5, (-1 / root5 - 1) / 2), (-2 / root8, 2 / root8)
    assert classifier.centre.tolist() == pytest.approx([2, 1])
    # (5, 5) less the mean is (3, 4), in unit length (0.6, 0.8)
    expected = [-((0.6 - c[0]) ** 2) - (0.8 - c[1]) ** 2 for c in (zero, one)]
    assert classifier(torch.tensor([[5.0, 5.0]], dtype=torch.float64))[0].tolist() == pytest.approx(expected, rel=1e-12)


def test_a_training_ends_with_the_nearest_means_of_its_features(task):
    fitted = fit(NCM.on(task, {"epochs": 2}), task)
    model = fitted.learner.model.eval()
    both = []
    for data in (task.train, task.evaluations["test"]):
        images, labels = next(data.batches(torch.arange(len(data.labels)), len(data.labels), augmented=False))
        both.append((model.embed(images).detach().double().numpy(), labels.numpy()))
    (train, labels), (test, truth) = both
    centre = train.mean(0)
    train, test = ((x - centre) / np.linalg.norm(x - centre, axis=1, keepdims=True) for x in (train, test))
    means = np.stack([train[labels == c].mean(0) for c in range(10)])
    nearest = np.linalg.norm(test[:, None] - means, axis=2).argmin(1)
    assert fitted.final["test"]["overall"] == pytest.approx(100 * (nearest == truth).mean())
    assert [(row["phase"], row["epoch"]) for row in fitted.history] == [
        ("all classes", 1), ("all classes", 2), ("nearest class mean", 2),
    ]  # fmt: skip


def test_it_branches_off_a_training_with_cross_entropy(task, tmp_path):
    fit(CE.on(task, {"epochs": 2}), task, seed=3, folder=tmp_path / "ce")
    recipe = NCM.on(task, {"epochs": 2})
    start = branch_point(tmp_path / "ce", recipe, task, seed=3)
    fit(recipe, task, seed=3, folder=tmp_path / "branched", start=start)
    fit(recipe, task, seed=3, folder=tmp_path / "whole")
    assert_same(*(torch.load(tmp_path / name / FILE, weights_only=True) for name in ("branched", "whole")))


@pytest.mark.parametrize(
    ("counts", "says"),
    [((6, 0, 2), r"training images of each class, and 1 of 3 .* \(first ids: \[1\]\)"), ((6,), "at least two classes")],
)
def test_classes_that_have_no_mean_are_refused(counts, says):
    task = dataclasses.replace(tiny_task(counts), settings=SETTINGS)
    with pytest.raises(LongTailError, match=says):
        NCM.on(task)
