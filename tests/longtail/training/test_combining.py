"""The update that is combined from the gradients of class groups, against gradients of single samples."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.groups import ClassGroups
from gradlens.longtail.methods import CE, find_method
from gradlens.longtail.recipe.combiner import Combiner
from gradlens.longtail.recipe.optimization import Sgd
from gradlens.longtail.training.divergence import DivergedError
from gradlens.longtail.training.fit import fit
from gradlens.longtail.training.training_run import run_training
from gradlens.longtail.training.watcher import Unwatched
from gradlens.longtail.training.watching import Watching
from gradlens.runlog import Run
from tests.longtail.same_state import assert_same
from tests.longtail.tiny_training import Linear, tiny_recipe, tiny_task

GROUPS = ClassGroups({"head": [0], "tail": [1, 2]}, 3)


@dataclass(frozen=True)
class Given:
    """Weights by group, which are noted with the inner products that they are chosen for."""

    values: tuple[float, ...]
    seen: list = dataclasses.field(default_factory=list)

    def __call__(self, gram, now):
        self.seen.append((now.present, now.layer, gram))
        return np.array([self.values[k] for k in now.present])


class Deep(Linear):
    """Two layers, so that there is more than one of them to combine."""

    def __init__(self, classes, signed=False):
        super().__init__(classes)
        self.body = nn.Linear(4, 4)

    def trunk(self, images):
        return torch.tanh(self.body(images.flatten(1)))


def recipe(task, weights, loss=None, deep=True, **combiner):
    """Two epochs without momentum and weight decay: each step shows its gradient."""
    made = tiny_recipe(
        task, loss, sgd=Sgd(0.5, 0.0, 0.0), combine=Combiner(GROUPS, weights, **combiner) if weights else None, batch=11
    )
    return dataclasses.replace(made, network=lambda: (Deep if deep else Linear)(3).double())


class Doubles(Unwatched):
    """Takes the gradients of the first step apart, sample by sample, before they are combined."""

    def __init__(self):
        self.samples = None

    def start_phase(self, phase, learner, optimizer, step, done):
        self.model, self.optimizer = learner.model, optimizer

    def backward(self, losses, step):
        if self.samples is None:
            self.before = {name: p.detach().clone() for name, p in self.model.named_parameters()}
            self.labels = step.labels
            each = F.cross_entropy(step.logits, step.labels, reduction="none") / len(step.labels)
            self.samples = [
                dict(
                    zip(
                        self.before,
                        torch.autograd.grad(loss, list(self.model.parameters()), retain_graph=True),
                        strict=True,
                    )
                )
                for loss in each
            ]
        super().backward(losses, step)

    def of(self, classes, name):
        """Returns what the samples of some classes contribute to the gradient of a parameter."""
        return sum(g[name] for g, label in zip(self.samples, self.labels, strict=True) if int(label) in classes)


def double(task):
    task.train._data = dataclasses.replace(task.train._data, images=task.train._data.images.double())
    return task


def first_step(weights, **options):
    """Returns the watcher, and name -> gradient with which the first step was made."""
    task = double(tiny_task())
    watcher = Doubles()
    after = {}

    class Stop(Exception):
        pass

    class Once(Doubles):
        def backward(self, losses, step):
            if self.samples is not None:
                after.update({name: p.detach().clone() for name, p in self.model.named_parameters()})
                raise Stop
            super().backward(losses, step)

    watcher = Once()
    with pytest.raises(Stop):
        fit(recipe(task, weights, **options), task, watcher=watcher)
    return watcher, {name: (watcher.before[name] - after[name]) / 0.5 for name in after}


@pytest.mark.parametrize("means", [False, True], ids=["contributions", "means"])
def test_the_update_is_the_weighted_sum_of_the_groups(means):
    weights = Given((0.25, 3.0))
    watcher, stepped = first_step(weights, means=means)
    # 6 images of class 0, 3 + 2 of the others: means are contributions times 11 / 6 and 11 / 5
    head, tail = (0.25, 3.0) if not means else (0.25 * 11 / 6, 3.0 * 11 / 5)
    for name, gradient in stepped.items():
        torch.testing.assert_close(gradient, head * watcher.of([0], name) + tail * watcher.of([1, 2], name))
    present, layer, gram = weights.seen[0]
    assert (present, layer) == ((0, 1), 0)
    flat = torch.stack([torch.cat([watcher.of(c, name).flatten() for name in stepped]) for c in ([0], [1, 2])])
    flat = flat * torch.tensor([[11 / 6], [11 / 5]]) if means else flat
    expected = (flat @ flat.T).numpy()
    np.testing.assert_allclose(gram, expected / expected.diagonal().max(), rtol=1e-9)


def test_each_layer_by_itself():
    @dataclass(frozen=True)
    class ByLayer:
        seen: dict = dataclasses.field(default_factory=dict)

        def __call__(self, gram, now):
            self.seen.setdefault(now.layer, gram)
            return np.array([1.0, 2.0 + now.layer])

    weights = ByLayer()
    watcher, stepped = first_step(weights, by_layer=True)
    layers = {"classifier": 0, "body": 1}  # in the order in which the network holds them
    for name, gradient in stepped.items():
        factor = 2.0 + layers[name.split(".")[0]]
        torch.testing.assert_close(gradient, watcher.of([0], name) + factor * watcher.of([1, 2], name))
    for layer, number in layers.items():
        names = [name for name in stepped if name.startswith(layer)]
        flat = torch.stack([torch.cat([watcher.of(c, name).flatten() for name in names]) for c in ([0], [1, 2])])
        expected = (flat @ flat.T).numpy()
        np.testing.assert_allclose(weights.seen[number], expected / expected.diagonal().max(), rtol=1e-9)


def test_with_weights_of_one_the_training_is_that_without_a_combiner():
    task = tiny_task()
    plain = fit(tiny_recipe(task), task)
    combined = fit(tiny_recipe(task, combine=Combiner(GROUPS, Given((1.0, 1.0)))), task)
    assert_same(combined.learner.model.state_dict(), plain.learner.model.state_dict())
    assert_same(combined.history, plain.history)


def test_a_group_that_is_absent_from_the_batch_is_no_task():
    task = tiny_task()
    weights = Given((1.0, 5.0))
    fit(tiny_recipe(task, combine=Combiner(GROUPS, weights), batch=2, epochs=1), task, seed=1)
    present = [seen[0] for seen in weights.seen]
    watcher = Labels()
    fit(tiny_recipe(task, batch=2, epochs=1), task, seed=1, watcher=watcher)
    expected = [tuple(sorted({0 if label == 0 else 1 for label in labels})) for labels in watcher.labels]
    assert present == expected
    assert {(0,), (1,)} <= set(present)  # or the test would show nothing
    assert all(gram.shape == (len(there), len(there)) for there, _, gram in weights.seen)


class Labels(Unwatched):
    def __init__(self):
        self.labels = []

    def backward(self, losses, step):
        self.labels.append(step.labels.tolist())
        super().backward(losses, step)


def test_a_group_without_a_gradient_is_no_task_either():
    weights = Given((1.0, 5.0))

    def head_only(step):
        return (F.cross_entropy(step.logits, step.labels, reduction="none") * (step.labels == 0)).sum()

    first_step(weights, loss=head_only)
    assert weights.seen[0][0] == (0,)


def test_a_group_with_a_far_smaller_gradient_is_not_lost_in_rounding():
    """The head has most samples, and in float32 its gradient is a hundred-millionth of the tail's."""

    def uneven(step):
        each = F.cross_entropy(step.logits, step.labels, reduction="none") / len(step.labels)
        return (each * torch.where(step.labels == 0, 1e-8, 1.0)).sum()

    task = tiny_task()
    weights = Given((1e8, 0.0))
    made = tiny_recipe(task, uneven, sgd=Sgd(1.0, 0.0, 0.0), combine=Combiner(GROUPS, weights), batch=11)
    made = dataclasses.replace(made, network=lambda: Deep(3))
    noted = Gradients()
    fit(made, task, watcher=noted, max_steps=1)
    head = recipe(task, None, lambda s: F.cross_entropy(s.logits, s.labels, reduction="none")[s.labels == 0].sum() / 11)
    expected = Gradients()
    fit(dataclasses.replace(head, network=lambda: Deep(3)), task, watcher=expected, max_steps=1)
    found, wanted = noted.gradient, expected.gradient
    assert float((weights.seen[0][2].diagonal() > 0).sum()) == 2
    assert float(weights.seen[0][2][0, 0] / weights.seen[0][2][1, 1]) < 1e-10
    cosine = float(found @ wanted / found.norm() / wanted.norm())
    assert cosine > 0.99


def test_what_comes_from_no_sample_stays_as_it_is():
    def penalised(step):
        body = step.learner.model.body.weight
        return F.cross_entropy(step.logits, step.labels) + 3 * body.square().sum()

    watcher, stepped = first_step(Given((0.0, 2.0)), loss=penalised)
    for name, gradient in stepped.items():
        penalty = 6 * watcher.before[name] if name == "body.weight" else 0
        torch.testing.assert_close(gradient, 2 * watcher.of([1, 2], name) + penalty)


@pytest.mark.parametrize("method", ["pcgrad", "cagrad", "gradvac"])
@pytest.mark.parametrize("scale", [1e-4, 1e-25])
def test_tiny_gradients_are_combined_like_large_ones(task, method, scale):
    """TorchJD 0.18's CAGrad is zero below a norm of 1e-2 and UPGrad the plain mean; here a scaled loss is a scaled update."""

    def update(factor):
        made = find_method(method).on(task, {"epochs": 1, "batch": 64})
        phase = dataclasses.replace(
            made.phases[0],
            losses={"classification": lambda step: factor * F.cross_entropy(step.logits, step.labels)},
            sgd=Sgd(1.0, 0.0, 0.0),
        )
        made = dataclasses.replace(made, phases=(phase,))
        noted = Gradients()
        fit(made, task, watcher=noted, max_steps=1)
        return noted.gradient

    large, small = update(1.0), update(scale)
    assert float(large.norm()) > 0.1
    torch.testing.assert_close(small / scale, large, rtol=1e-4, atol=1e-5 * float(large.abs().max()))


class Gradients(Unwatched):
    def start_phase(self, phase, learner, optimizer, step, done):
        def note(*args):
            self.gradient = torch.cat([p.grad.flatten() for p in learner.model.parameters()]).double()

        optimizer.register_step_pre_hook(note)


def test_a_gradient_that_is_not_finite_ends_the_training():
    task = tiny_task()

    def infinite(step):
        return F.cross_entropy(step.logits, step.labels) + 0 * (step.logits.sum() * 0).sqrt().sum()

    with pytest.raises(DivergedError, match="not finite"):
        fit(tiny_recipe(task, infinite, combine=Combiner(GROUPS, Given((1.0, 5.0)))), task)


@pytest.mark.parametrize("engine", ["masked", "split", "func"])
def test_the_lens_measures_the_gradient_before_it_is_combined_and_changes_nothing(tmp_path, task, engine):
    made = find_method("gradvac").on(task, {"epochs": 2, "batch": 64, "beta": 0.5})
    watching = Watching(every=1, update=True, probe_every=0, engine=engine)
    tracked = run_training(made, task, tmp_path / "run", watching=watching)
    untracked = fit(made, task)
    assert_same(tracked.fitted.learner.model.state_dict(), untracked.learner.model.state_dict())
    assert_same(
        tracked.fitted.learner.modules["gradvac"].state_dict(), untracked.learner.modules["gradvac"].state_dict()
    )
    ce = run_training(CE.on(task, {"epochs": 1, "batch": 64}), task, tmp_path / "ce", watching=watching)
    runs = [Run(trained.folder) for trained in (tracked, ce)]
    # The first step measures the same gradient, but the optimizer steps otherwise.
    np.testing.assert_allclose(runs[0].gram()[0][:2, :2], runs[1].gram()[0][:2, :2], rtol=1e-4)
    assert np.nanmax(runs[0].residual) < 1e-4
    assert runs[1].cosine("update")[0] > 0.9
    assert "stepped" in {event["kind"] for event in runs[0].events}


def test_the_combiner_is_part_of_the_identity_and_nothing_changes_without_one():
    task = tiny_task()
    phase = tiny_recipe(task).phases[0]
    assert set(phase.identity()) == {"optimizer", "schedule", "batch", "trainable", "losses"}
    combined = dataclasses.replace(phase, combine=Combiner(GROUPS, Given((1.0, 2.0), ()), means=True)).identity()
    assert combined["combine"] == {
        "groups": [[0], [1, 2]], "weights": "Given(values=(1.0, 2.0), seen=())", "means": True, "by_layer": False,
    }  # fmt: skip
