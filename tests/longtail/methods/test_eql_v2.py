"""EQL v2: two steps by hand, its state in checkpoints, the first bias, and what is refused."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.eql_v2 import STATE, Equalization, GradientRatios
from gradlens.longtail.training.checkpoint import FILE
from gradlens.longtail.training.fit import fit
from tests.longtail.cut_training import train_until
from tests.longtail.tiny_training import tiny_task

EQL = find_method("eql-v2")


def sigmoid(z):
    return 1 / (1 + math.exp(-z))


def test_two_steps_by_hand():
    """Two classes. All weights of the first step are 1; those of the second follow from its gradients."""
    learner = SimpleNamespace(modules={STATE: GradientRatios(2)})
    loss = Equalization(12.0, 0.8, 4.0)
    plus, minus, weights = [0.0, 0.0], [0.0, 0.0], [(1.0, 1.0), (1.0, 1.0)]
    seen = []
    batches = [([[1.0, -0.5], [0.3, 2.0], [-1.0, 0.2]], [0, 0, 1]), ([[0.1, 0.4], [-2.0, 1.5]], [1, 0])]
    for logits, labels in batches:
        expected, added = 0.0, [[0.0, 0.0], [0.0, 0.0]]
        for row, label in zip(logits, labels, strict=True):
            for c in range(2):
                positive, negative = weights[c]
                p = sigmoid(row[c])
                expected += -positive * math.log(p) if c == label else -negative * math.log(1 - p)
                added[c == label][c] += positive * (1 - p) if c == label else negative * p
        step = SimpleNamespace(
            learner=learner, logits=torch.tensor(logits, dtype=torch.float64), labels=torch.tensor(labels)
        )
        assert float(loss(step)) == pytest.approx(expected / len(labels), rel=1e-12)
        for c in range(2):
            plus[c] += added[1][c]
            minus[c] += added[0][c]
            w = sigmoid(12 * (plus[c] / (minus[c] + 1e-10) - 0.8))
            weights[c] = (1 + 4 * (1 - w), w)
            seen.append(w)
        assert learner.modules[STATE].ratios.tolist() == pytest.approx([plus[c] / minus[c] for c in range(2)])
    assert min(seen[:2]) < 0.01  # the weights of the second step do something


def test_no_gradient_flows_through_the_weights():
    learner = SimpleNamespace(modules={STATE: GradientRatios(2)})
    logits = torch.tensor([[1.0, -1.0]], dtype=torch.float64, requires_grad=True)
    Equalization(12.0, 0.8, 4.0)(SimpleNamespace(learner=learner, logits=logits, labels=torch.tensor([0]))).backward()
    assert logits.grad.tolist() == [pytest.approx([sigmoid(1.0) - 1, sigmoid(-1.0)])]
    assert not learner.modules[STATE].ratios.requires_grad


def test_its_state_is_kept_over_an_interruption(task, tmp_path):
    recipe = EQL.on(task, {"epochs": 2})
    train_until(1, recipe, task, tmp_path)
    stored = torch.load(tmp_path / FILE, weights_only=True)["modules"][STATE]
    assert set(stored) == {"positives", "negatives", "ratios"}
    assert stored["positives"].min() > 0
    resumed = fit(recipe, task, folder=tmp_path, resume=True)
    whole = fit(recipe, task)
    for name, value in whole.learner.modules[STATE].state_dict().items():
        assert torch.equal(resumed.learner.modules[STATE].state_dict()[name], value)
        assert (value > stored[name]).all() or name == "ratios"


def test_rare_classes_get_weaker_negatives(task):
    state = fit(EQL.on(task, {"epochs": 3}), task, evaluate_every=3).learner.modules[STATE]
    assert state.ratios[-1] < state.ratios[0]


def test_the_first_bias_makes_every_class_equally_rare(task):
    assert EQL.on(task).network().classifier.bias.tolist() == pytest.approx([-math.log(9)] * 10)


@pytest.mark.parametrize("change", [{"gamma": -1.0}, {"mu": float("nan")}, {"alpha": float("inf")}])
def test_settings_that_cannot_work_are_refused(task, change):
    with pytest.raises(LongTailError, match=next(iter(change))):
        EQL.on(task, change)


def test_one_class_is_refused(task):
    single = dataclasses.replace(tiny_task((6,)), settings=task.settings)
    with pytest.raises(LongTailError, match="eql-v2 needs at least two classes, and tiny has 1"):
        EQL.on(single)
