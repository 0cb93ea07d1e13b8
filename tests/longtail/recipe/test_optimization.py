"""Learning-rate schedules and SGD, by hand."""

import math

import pytest
import torch
from torch import nn

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.recipe.optimization import CosineAfterWarmUp, CosineDecay, Sgd


def test_cosine_decay_by_hand():
    # (1 + cos(pi t / T)) / 2 for T = 8: 1 at the start, 1/2 at T/2, (1 - cos(pi / 8)) / 2 in the last epoch
    assert CosineDecay().factor(0, 8) == 1
    assert CosineDecay().factor(4, 8) == pytest.approx(0.5)
    assert CosineDecay().factor(7, 8) == pytest.approx((1 - math.sqrt(2 + math.sqrt(2)) / 2) / 2)
    # T = 3: cos(pi / 3) = 1/2, cos(2 pi / 3) = -1/2
    assert [CosineDecay().factor(t, 3) for t in range(3)] == pytest.approx([1, 0.75, 0.25])


def test_cosine_decay_warms_up_linearly():
    assert [CosineDecay(warm_up=4).factor(t, 8) for t in range(5)] == pytest.approx([0.25, 0.5, 0.75, 1, 0.5])


def test_cosine_after_warm_up_by_hand():
    """It rises from 0.2 by 0.2 an epoch, and then follows the cosine over the 4 epochs left."""
    schedule = CosineAfterWarmUp(warm_up=4, first=0.2)
    found = [schedule.factor(t, 8) for t in range(8)]
    assert found == pytest.approx([0.2, 0.4, 0.6, 0.8, 1, (1 + 2**-0.5) / 2, 0.5, (1 - 2**-0.5) / 2])
    assert CosineAfterWarmUp(0, 1.0).factor(3, 7) == CosineDecay().factor(3, 7)


def parameters_after(sgd, gradients):
    """Returns name -> value of a network whose parameters begin at 1, after a step with each gradient."""
    model = nn.ModuleDict({"trunk": nn.Linear(1, 1), "classifier": nn.Linear(1, 1)}).double()
    for parameter in model.parameters():
        nn.init.ones_(parameter)
    optimizer = sgd.optimizer(model)
    for gradient in gradients:
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, gradient)
        optimizer.step()
    return {name: parameter.item() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("nesterov", [False, True])
def test_sgd_by_hand_with_and_without_nesterov(nesterov):
    """With g' = g + decay p: v = momentum v + g', and p falls by rate times v, or g' + momentum v in Nesterov's form."""
    p, v = 1.0, 0.0
    for g in (0.5, -0.2, 0.3):
        decayed = g + 0.1 * p
        v = 0.9 * v + decayed
        p -= 0.05 * (decayed + 0.9 * v if nesterov else v)
    found = parameters_after(Sgd(0.05, 0.9, 0.1, nesterov=nesterov), [0.5, -0.2, 0.3])
    assert found == pytest.approx(dict.fromkeys(found, p), rel=1e-12)


def test_learning_rates_and_decays_of_parts_by_hand():
    """One step without momentum: p = 1 falls by rate (g + decay)."""
    rates = {"classifier": 0.5}
    found = parameters_after(Sgd(0.1, 0.0, 0.01, rates, decays={"classifier.bias": 0.0, "classifier": 0.2}), [1.0])
    assert found == pytest.approx(
        {
            "trunk.weight": 1 - 0.1 * 1.01,
            "trunk.bias": 1 - 0.1 * 1.01,
            "classifier.weight": 1 - 0.5 * 1.2,
            "classifier.bias": 1 - 0.5,
        },
        rel=1e-12,
    )


def test_a_part_without_a_parameter_is_refused():
    model = nn.ModuleDict({"classifier": nn.Linear(1, 1)})
    for sgd in (Sgd(parts={"clasifier": 0.1}), Sgd(decays={"clasifier": 0.1})):
        with pytest.raises(LongTailError, match=r"'clasifier'; there are classifier\.weight, classifier\.bias"):
            sgd.optimizer(model)


def test_its_identity_is_that_of_older_trainings_unless_a_new_field_differs():
    old = "Sgd(learning_rate=0.1, momentum=0.9, weight_decay=0.0005, parts={'classifier': 0.05})"
    assert Sgd(parts={"classifier": 0.05}).identity() == old
    assert Sgd(parts={"classifier": 0.05}, nesterov=True).identity() == old[:-1] + ", nesterov=True)"
    assert Sgd(parts={"classifier": 0.05}, decays={"a": 0.0}).identity() == old[:-1] + ", decays={'a': 0.0})"
