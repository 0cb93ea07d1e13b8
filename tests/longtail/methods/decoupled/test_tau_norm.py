"""tau-normalisation: its weights worked out by hand, and how tau is chosen and said."""

import dataclasses
import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import CE, find_method
from gradlens.longtail.methods.decoupled.tau_norm import TauNormalised
from gradlens.longtail.training.checkpoint import FILE, phase_file
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.training_run import RESULT, run_training
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run
from tests.longtail.same_state import assert_same

TAU_NORM = find_method("tau-norm")
TAUS = [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    ("tau", "weights"),
    [
        (0.0, [[3.0, 4.0], [0.0, 2.0]]),
        (1.0, [[0.6, 0.8], [0.0, 1.0]]),
        (2.0, [[3 / 25, 4 / 25], [0.0, 0.5]]),
        (0.5, [[3 / 5**0.5, 4 / 5**0.5], [0.0, 2**0.5]]),
    ],
)
def test_weights_by_hand_with_and_without_the_bias(tau, weights):
    linear = nn.Linear(2, 2).double()
    linear.weight.data = torch.tensor([[3.0, 4.0], [0.0, 2.0]], dtype=torch.float64)
    rows = torch.eye(2, dtype=torch.float64)
    plain, biased = (TauNormalised(linear, tau, bias).double() for bias in (False, True))
    assert torch.allclose(plain(rows).T, torch.tensor(weights, dtype=torch.float64), rtol=1e-12)
    assert torch.allclose(biased(rows), plain(rows) + linear.bias, rtol=1e-12)


def test_a_class_whose_weights_are_zero_has_the_logit_zero():
    linear = nn.Linear(2, 2)
    nn.init.zeros_(linear.weight[0])
    assert TauNormalised(linear, 1.0, False)(torch.randn(3, 2))[:, 0].tolist() == [0, 0, 0]


def accuracies(task):
    """Returns the accuracy of each of TAUS after two epochs, from weights and features alone."""
    model = fit(CE.on(task, {"epochs": 2}), task).learner.model.eval()
    test = task.evaluations["test"]
    images, labels = next(test.batches(torch.arange(len(test.labels)), len(test.labels), augmented=False))
    w, features = model.classifier.weight.detach(), model.embed(images).detach()
    told = [(features @ (w / w.norm(dim=1, keepdim=True) ** tau).T).argmax(1) for tau in TAUS]
    return [100 * float((one == labels).double().mean()) for one in told]


def recipe(task, **changes):
    return TAU_NORM.on(task, {"epochs": 2, "taus": TAUS} | changes)


def test_tau_is_chosen_on_the_first_split_and_run_and_result_say_so(task, tmp_path):
    expected = accuracies(task)
    best = TAUS[expected.index(max(expected))]
    assert best > 0  # so that the choice shows
    done = run_training(recipe(task), task, tmp_path / "run", watching=Watching(every=5, probe_every=0))
    result = json.loads((tmp_path / "run" / RESULT).read_text())
    facts = {"setting": "tau", "value": best, "split": "test", "only_split": True, "tried": TAUS}
    assert result["chosen"] == [
        {"phase": "tau-normalisation", **facts, "accuracies": pytest.approx(expected, abs=1e-9)}
    ]
    assert result["last"]["test"]["overall"] == pytest.approx(max(expected))
    assert float(done.fitted.learner.model.classifier.tau) == pytest.approx(best)
    event = next(event for event in Run(tmp_path / "run").events if event["kind"] == "setting-chosen")
    assert facts.items() <= event.items()
    assert event["accuracies"] == pytest.approx(expected)


def test_with_another_split_tau_is_not_chosen_on_the_test_images(task):
    few = dataclasses.replace(task, evaluations={"validation": task.train, **task.evaluations})
    chosen = fit(recipe(few), few).history[-1]["chosen"]
    assert (chosen["split"], chosen["only_split"]) == ("validation", False)
    assert chosen["accuracies"] != fit(recipe(task), task).history[-1]["chosen"]["accuracies"]


def test_the_chosen_value_is_in_the_checkpoint(task, tmp_path):
    first = fit(recipe(task), task, folder=tmp_path)
    again = fit(recipe(task), task, folder=tmp_path, resume=True)
    assert again.final == first.final
    assert_same(again.history, first.history)
    (tmp_path / FILE).write_bytes((tmp_path / phase_file(0)).read_bytes())  # cut short before it was chosen
    assert_same(fit(recipe(task), task, folder=tmp_path, resume=True).history, first.history)


def test_a_given_tau_is_taken_as_it_is(task):
    fitted = fit(TAU_NORM.on(task, {"epochs": 2, "tau": 1.5, "bias": True}), task)
    classifier = fitted.learner.model.classifier
    assert "chosen" not in fitted.history[-1]
    assert float(classifier.tau) == 1.5
    trained = fit(CE.on(task, {"epochs": 2}), task).learner.model.classifier
    assert torch.equal(classifier.weight, trained.weight)
    assert torch.equal(classifier.bias, trained.bias)
    rows = torch.randn(4, 64)
    weights = F.normalize(trained.weight, dim=1) / trained.weight.norm(dim=1, keepdim=True) ** 0.5
    assert torch.allclose(classifier(rows), F.linear(rows, weights, trained.bias), atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"tau": -1.0}, "tau=-1"), ({"taus": []}, r"taus=\[\]"), ({"taus": [0.5, -0.5]}, r"taus=\[0.5, -0.5\]")],
)
def test_values_out_of_range_are_refused(task, changes, says):
    with pytest.raises(LongTailError, match=says):
        TAU_NORM.on(task, changes)
