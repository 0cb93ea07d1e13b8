"""The order in which images are visited: progressively from images to classes."""

import pytest
import torch

from gradlens.longtail.methods import DUAL_PHASE, PLAIN
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
