"""The order in which images are visited: progressively from images to classes."""

import pytest
import torch

from gradlens.longtail.methods import CE, DUAL_PHASE, PLAIN
from gradlens.longtail.recipe.visiting import ClassAware, PhaseProgress
from tests.longtail.watched import watched

# 99.9 % quantiles of chi-square by degrees of freedom
CHI2 = {4: 18.47, 9: 27.88}


def misfit(labels, classes, n, t):
    """Chi-square of drawn labels against p_j(t) = (1 - t) n_j / sum(n) + t / C, written out."""
    drawn = torch.bincount(labels, minlength=classes).double()
    n = torch.tensor(n[:classes], dtype=torch.float64)
    expected = len(labels) * ((1 - t) * n / n.sum() + t / classes)
    return ((drawn - expected) ** 2 / expected).sum().item()


@pytest.mark.parametrize(("method", "phase", "classes"), [(PLAIN, "all classes", 10), (DUAL_PHASE, "I", 5)])
def test_progressive_sampling_goes_from_images_to_classes_over_the_epochs(task, method, phase, classes):
    epochs = 6
    watcher = watched(method.on(task, {"epochs": epochs, "sampler": "progressive"}), task)
    counts = [124, 80, 51, 33, 21, 14, 9, 5, 3, 2]
    of_epoch = [torch.cat(watcher.labels[phase, epoch]) for epoch in range(epochs)]
    assert all(len(labels) == sum(counts[:classes]) for labels in of_epoch)
    assert max(int(labels.max()) for labels in of_epoch) == classes - 1
    for epoch, labels in enumerate(of_epoch):
        assert misfit(labels, classes, counts, epoch / epochs) < CHI2[classes - 1]
    # early and late draws cannot be taken for each other
    assert misfit(of_epoch[0], classes, counts, 5 / 6) > CHI2[classes - 1]
    assert misfit(of_epoch[-1], classes, counts, 0) > CHI2[classes - 1]


def test_progressive_is_what_the_paper_s_methods_do_by_default(task):
    assert (PLAIN.on(task).settings["sampler"], DUAL_PHASE.on(task).settings["sampler"]) == ("progressive",) * 2


def test_class_aware_sampling_shows_as_many_images_as_told():
    labels, progress = torch.arange(3).repeat(5), PhaseProgress(0, 1)
    for images, expected in ((None, 15), (8, 8), (40, 40)):
        rows = ClassAware(images)(labels, progress, torch.Generator().manual_seed(0))
        assert len(rows) == expected
        assert rows.max() < 15


def test_class_aware_sampling_in_a_training(task):
    labels = torch.cat(watched(CE.on(task, {"epochs": 1, "sampler": "class-aware"}), task).labels["all classes", 0])
    # 342 images: 85 turns of four images, and two of the next; each class has eight turns, and five have a ninth
    assert len(labels) == 342
    assert set(labels.bincount(minlength=10).tolist()) <= {32, 34, 36}
