"""Logit adjustment after training: its predictions from frequencies written out, and how tau is chosen."""

import dataclasses

import numpy as np
import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import CE, find_method
from gradlens.longtail.tasks.digits import SETTINGS, digits_task
from gradlens.longtail.training.fit import fit
from tests.longtail.tiny_training import tiny_task

POST_HOC = find_method("logit-adjustment-post-hoc")
COUNTS = [124, 80, 51, 33, 21, 14, 9, 5, 3, 2]


@pytest.fixture(scope="module")
def logits(task):
    """Returns the [N, C] logits on the test images of two epochs of cross-entropy, and their labels."""
    model = fit(CE.on(task, {"epochs": 2}), task).learner.model.eval()
    test = task.evaluations["test"]
    images, labels = next(test.batches(torch.arange(len(test.labels)), len(test.labels), augmented=False))
    return model(images).detach().double().numpy(), labels.numpy()


def accuracy(logits, tau):
    z, labels = logits
    return 100 * ((z - tau * np.log(np.array(COUNTS) / sum(COUNTS))).argmax(1) == labels).mean()


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_predictions_are_those_of_the_formula(task, logits, tau):
    fitted = fit(POST_HOC.on(task, {"epochs": 2, "tau": tau}), task)
    assert fitted.final["test"]["overall"] == pytest.approx(accuracy(logits, tau))
    assert "chosen" not in fitted.history[-1]


def test_tau_is_one_unless_it_is_to_be_chosen(task, logits):
    assert POST_HOC.on(task).settings["tau"] == 1.0
    taus = [0.0, 1.0, 2.0]
    chosen = fit(POST_HOC.on(task, {"epochs": 2, "tau": None, "taus": taus}), task).history[-1]["chosen"]
    expected = [accuracy(logits, tau) for tau in taus]
    assert chosen["accuracies"] == pytest.approx(expected)
    assert chosen["value"] == taus[expected.index(max(expected))]


def test_frequencies_are_those_of_the_training_images():
    balanced = digits_task(balanced=True)  # its `counts` are those of the long-tailed set
    adjust = POST_HOC.on(balanced).phases[1].structure
    assert float(adjust.log_priors.max() - adjust.log_priors.min()) < 0.1


@pytest.mark.parametrize(
    ("counts", "changes", "says"),
    [((6, 0, 2), {}, "1 of 3 classes"), ((6, 3, 2), {"tau": -0.5}, "tau=-0.5"), ((6,), {}, "at least two classes")],
)
def test_what_cannot_be_adjusted_is_refused(counts, changes, says):
    task = dataclasses.replace(tiny_task(counts), settings=SETTINGS)
    with pytest.raises(LongTailError, match=says):
        POST_HOC.on(task, changes)
