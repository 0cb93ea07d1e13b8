"""Class-balanced focal loss: by hand, its limits, where it is certain, how the classifier starts, and how it is marked."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import METHODS, find_method
from gradlens.longtail.methods.class_balanced_focal import SigmoidFocal
from gradlens.longtail.recipe.optimization import Sgd
from gradlens.longtail.training.checkpoint import CheckpointError, require_same
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watching import Watching


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_the_loss_of_two_samples_worked_out_by_hand(gamma):
    """Logits log 3, 0: sigmoids 3/4, 1/2. Label 0, then label 1, with weights 1/2 and 3/2."""
    logits = torch.tensor([[math.log(3), 0.0]] * 2, dtype=torch.float64)
    first = 0.25**gamma * math.log(4 / 3) + 0.5**gamma * math.log(2)
    second = 0.75**gamma * math.log(4) + 0.5**gamma * math.log(2)
    loss = SigmoidFocal(torch.tensor([0.5, 1.5]), gamma)
    found = loss(SimpleNamespace(logits=logits, labels=torch.tensor([0, 1])))
    assert float(found) == pytest.approx((0.5 * first + 1.5 * second) / 2, rel=1e-12)


def test_gamma_and_beta_zero_are_binary_cross_entropy_summed_over_classes(task):
    loss = find_method("cb-focal").on(task, {"gamma": 0.0, "beta": 0.0}).phases[0].losses["classification"]
    logits, labels = (
        torch.randn(8, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)),
        torch.arange(8),
    )
    whole = F.binary_cross_entropy_with_logits(logits, F.one_hot(labels, 10).double(), reduction="sum") / 8
    assert float(loss(SimpleNamespace(logits=logits, labels=labels))) == pytest.approx(float(whole), rel=1e-12)


@pytest.mark.parametrize("gamma", [0.5, 1.0])
def test_a_sample_that_is_certain_has_a_finite_gradient(gamma):
    logits = torch.tensor([[200.0, -200.0], [200.0, -200.0]], requires_grad=True)
    loss = SigmoidFocal(torch.ones(2), gamma)(SimpleNamespace(logits=logits, labels=torch.tensor([0, 1])))
    loss.backward()
    assert loss.item() == pytest.approx(200.0)  # half of 0 and 200 + 200
    assert logits.grad.tolist() == [pytest.approx([0.0, 0.0], abs=1e-30), pytest.approx([0.5, -0.5])]


def test_the_classifier_starts_as_in_the_reference(task):
    classifier = find_method("cb-focal").on(task).network().classifier
    assert classifier.bias.tolist() == pytest.approx([-math.log(9)] * 10)
    bound = math.sqrt(6 / (64 + 10))  # Glorot: 64 features, 10 classes
    assert 0.95 * bound < float(classifier.weight.detach().abs().max()) <= bound


@pytest.mark.parametrize(
    ("change", "says"),
    [({"beta": 1.5}, "beta=1.5"), ({"gamma": -1.0}, "gamma=-1.0"), ({"gamma": float("nan")}, "gamma=nan")],
)
def test_settings_that_cannot_work_are_refused(task, change, says):
    with pytest.raises(LongTailError, match=says):
        find_method("cb-focal").on(task, change)


def test_that_it_is_approximate_stands_in_the_list_and_in_the_run(task, tmp_path):
    why = "weight decay acts on the classifier's bias"
    with pytest.raises(LongTailError, match=rf"cb-focal .*\(approximate: {why}"):
        find_method("cb")
    for method in ("cb-focal", "cb-ce"):
        recipe = find_method(method).on(task, {"epochs": 1})
        run_training(recipe, task, tmp_path / method, watching=Watching(every=5, probe_every=0), max_steps=1)
    extra = {name: json.loads((tmp_path / name / "run.json").read_text())["extra"] for name in ("cb-focal", "cb-ce")}
    assert why in extra["cb-focal"]["approximate"]
    assert "approximate" not in extra["cb-ce"]
    assert METHODS["cb-ce"].described == METHODS["cb-ce"].summary


def test_the_bias_may_be_left_without_decay_and_older_trainings_go_on(task):
    spared, by_default = (METHODS["cb-focal"].on(task, {"bias_decay": decay}) for decay in (0.0, None))
    assert dict(spared.phases[0].sgd.decays) == {"classifier.bias": 0.0}
    assert dict(by_default.phases[0].sgd.decays) == {}
    now = by_default.identity()
    before = {name: value for name, value in now.items() if name != "bias_decay"}  # there was no such setting
    require_same(Path("checkpoint.pt"), before, now)
    with pytest.raises(CheckpointError, match=r"bias_decay: absent there, 0\.0 here"):
        require_same(Path("checkpoint.pt"), before, spared.identity())
    with pytest.raises(LongTailError, match="bias_decay=-1"):
        METHODS["cb-focal"].on(task, {"bias_decay": -1.0})


def test_the_preset_of_cifar_is_the_recipe_of_the_literature(task):
    recipe = METHODS["cb-focal"].on(task, preset="cifar100-lt")
    phase = recipe.phases[0]
    assert (phase.epochs, phase.batch, recipe.settings["beta"]) == (200, 128, 0.9)
    assert phase.sgd == Sgd(0.1, 0.9, 2e-4, decays={"classifier.bias": 0.0})
    factors = [phase.schedule.factor(t, 200) for t in (0, 4, 159, 160, 179, 180)]
    assert factors == pytest.approx([0.2, 1, 1, 0.01, 0.01, 1e-4])
