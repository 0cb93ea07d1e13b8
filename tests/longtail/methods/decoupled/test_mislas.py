"""MiSLAS: its smoothing and loss by hand, what stage 2 trains and how fast, its presets, and what is refused."""

import dataclasses
import math
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from gradlens.longtail.errors import LongTailError
from gradlens.longtail.methods import find_method
from gradlens.longtail.methods.decoupled.mislas import LabelAwareSmoothing, smoothing
from gradlens.longtail.tasks.digits import SETTINGS
from gradlens.longtail.training.branching import branch_point
from gradlens.longtail.training.checkpoint import FILE
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.watcher import Unwatched
from tests.longtail.same_state import assert_same
from tests.longtail.tiny_training import tiny_task

MISLAS, MIXUP = find_method("mislas"), find_method("mixup")


def test_smoothing_by_hand():
    """90 images from the smallest class to the largest: 10 are a ninth of the way, 30 a third, where the sine is 1/2."""
    found = smoothing(torch.tensor([100, 40, 20, 10]), 0.4, 0.1)
    assert found.tolist() == pytest.approx([0.4, 0.1 + 0.3 / 2, 0.1 + 0.3 * math.sin(math.pi / 18), 0.1], rel=1e-12)
    assert smoothing(torch.tensor([7, 7]), 0.4, 0.1).tolist() == [0.4, 0.4]


def test_the_loss_of_two_samples_by_hand():
    """Probabilities 1/2, 1/3, 1/6 for both; smoothing 0.6 of class 0 and 0.3 of class 2."""
    logits = torch.tensor([[3.0, 2.0, 1.0]] * 2, dtype=torch.float64).log()
    loss = LabelAwareSmoothing(torch.tensor([0.6, 0.5, 0.3], dtype=torch.float64))
    even = (math.log(2) + math.log(3) + math.log(6)) / 3
    expected = (0.4 * math.log(2) + 0.6 * even + 0.7 * math.log(6) + 0.3 * even) / 2
    found = loss(SimpleNamespace(logits=logits, labels=torch.tensor([0, 2])))
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_the_same_smoothing_for_all_is_label_smoothing():
    logits, labels = torch.randn(6, 5, dtype=torch.float64), torch.arange(6) % 5
    step = SimpleNamespace(logits=logits, labels=labels)
    found = LabelAwareSmoothing(torch.full((5,), 0.3, dtype=torch.float64))(step)
    assert torch.allclose(found, F.cross_entropy(logits, labels, label_smoothing=0.3), rtol=1e-12)


class Rates(Unwatched):
    """Notes the learning rate of each trained parameter in each step of stage 2."""

    def __init__(self):
        self.steps = []

    def start_phase(self, phase, learner, optimizer, step, done):
        self.names = {id(parameter): name for name, parameter in learner.model.named_parameters()}
        self.optimizer, self.phase = optimizer, phase

    def backward(self, losses, step):
        if self.phase.name == "classifier":
            groups = self.optimizer.param_groups
            self.steps.append({self.names[id(p)]: group["lr"] for group in groups for p in group["params"]})
        super().backward(losses, step)


def test_stage_2_trains_classifier_and_scales_at_their_own_rates(task):
    """(1 + cos(pi t / 3)) / 2 is 1, 3/4 and 1/4; 342 images fill 11 batches of 32, and there is one step more."""
    watcher = Rates()
    fitted = fit(MISLAS.on(task, {"epochs": 1, "epochs_2": 3}), task, watcher=watcher)
    assert len(watcher.steps) == 3 * 12
    for step, factor in ((0, 1), (12, 0.75), (35, 0.25)):
        assert watcher.steps[step] == pytest.approx(
            {
                "classifier.inner.weight": 0.02 * factor,
                "classifier.inner.bias": 0.02 * factor,
                "classifier.scales": 0.1 * factor,
            }
        )
    before = fit(MIXUP.on(task, {"epochs": 1}), task).learner.model.state_dict()
    after = dict(fitted.learner.model.state_dict())
    assert (after.pop("classifier.scales") != 1).all()
    after = {name.replace("classifier.inner", "classifier"): value for name, value in after.items()}
    moved = {name for name in before if not torch.equal(after[name], before[name])}
    statistics = {name for name in before if "running" in name or "tracked" in name}
    assert moved == {"classifier.weight", "classifier.bias"} | statistics


def test_it_branches_off_a_training_with_mixup_and_lifts_its_rare_classes(task, tmp_path):
    before = fit(MIXUP.on(task, {"epochs": 10}), task, seed=3, folder=tmp_path / "mixup")
    recipe = MISLAS.on(task, {"epochs": 10})
    start = branch_point(tmp_path / "mixup", recipe, task, seed=3)
    after = fit(recipe, task, seed=3, folder=tmp_path / "branched", start=start)
    fit(recipe, task, seed=3, folder=tmp_path / "whole")
    assert_same(*(torch.load(tmp_path / name / FILE, weights_only=True) for name in ("branched", "whole")))
    assert after.final["test"]["few"] > before.final["test"]["few"] + 10


@pytest.mark.parametrize(
    ("preset", "head", "tail", "rate"),
    [("cifar100-lt-if100", 0.4, 0.1, 0.02), ("cifar100-lt-if50", 0.3, 0.0, 0.01), ("cifar100-lt-if10", 0.2, 0.0, 0.01)],
)
def test_presets_of_cifar(task, preset, head, tail, rate):
    recipe = MISLAS.on(task, preset=preset)
    settings, (first, second) = recipe.settings, recipe.phases
    assert [settings[name] for name in ("smooth_head", "smooth_tail", "learning_rate_2")] == [head, tail, rate]
    assert (first.epochs, first.batch, first.sgd.learning_rate, first.sgd.weight_decay) == (200, 128, 0.1, 2e-4)
    assert [first.schedule.factor(t, 200) for t in (0, 4, 159, 160, 180)] == pytest.approx([0.2, 1, 1, 0.1, 0.01])
    assert (second.epochs, second.sgd.learning_rate, dict(second.sgd.parts)) == (10, rate, {"classifier.scales": 0.1})
    assert second.moving == ("",)


@pytest.mark.parametrize(
    ("counts", "changes", "says"),
    [
        ((6, 3, 2), {"smooth_head": 1.0}, "smooth_head=1"),
        ((6, 3, 2), {"smooth_tail": 0.5}, "smooth_tail=0.5"),
        ((6, 3, 2), {"smooth_tail": -0.1}, "smooth_tail=-0.1"),
        ((6, 3, 2), {"scale_learning_rate_2": 0.0}, "scale_learning_rate_2=0"),
        ((6, 3, 2), {"learning_rate_2": -1.0}, "learning_rate_2=-1"),
        ((6, 3, 2), {"alpha": 0.0}, "alpha=0"),
        ((6, 3, 2), {"epochs_2": 0}, "epochs_2=0"),
        ((6, 3, 2), {"schedule_2": "line"}, "schedule_2='line'"),
        ((6, 3, 2), {"sampler_2": "even"}, "sampler 'even' is not known"),
        ((6, 0, 2), {}, "1 of 3 classes"),
        ((6,), {}, "at least two classes"),
    ],
)
def test_what_cannot_work_is_refused_before_training(counts, changes, says):
    with pytest.raises(LongTailError, match=says):
        MISLAS.on(dataclasses.replace(tiny_task(counts), settings=SETTINGS), changes)
