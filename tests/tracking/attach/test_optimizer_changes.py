"""Trainings that go on with another optimizer, another model or another head: the log follows."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from gradlens.runlog import Run
from gradlens.tracking.attach.optimizer_changes import OptimizerChanges
from gradlens.tracking.attach.other_models import OtherModels


def data(seed=0):
    labels = torch.arange(60) % 3
    return TensorDataset(torch.randn(60, 5, generator=torch.Generator().manual_seed(seed)), labels)


def network():
    # Batch normalisation asks for the masked engine, which measures the very first step, too.
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))


def fit(model, params, dataset, epochs, momentum=0.0):
    optimizer = torch.optim.SGD(params, lr=0.05, momentum=momentum)
    for _ in range(epochs):
        for x, y in DataLoader(dataset, batch_size=20):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


def finished(tracker, tmp_path):
    tracker.lens.close()
    assert tracker.faults.failure is None
    run = Run(tmp_path / "run")
    assert np.nanmax(run.residual) < 1e-5
    return run


def test_a_new_optimizer_for_the_same_model_is_followed(start, tmp_path):
    tracker = start(every=1, groups="a=0,b=1-2")
    model = network()
    fit(model, model.parameters(), data(), 3)
    fit(model, model.parameters(), data(), 3, momentum=0.9)

    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == list(range(18))


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("update", [False, True])
def test_an_optimizer_made_anew_in_each_epoch_is_followed_from_its_first_step(start, tmp_path, every, update):
    tracker = start(every=every, groups="a=0,b=1-2", update=update)
    model = network()
    for _ in range(8):
        fit(model, model.parameters(), data(), 2)  # 6 steps

    run = finished(tracker, tmp_path)
    # What a new optimizer takes off in its first step is known afterwards only: with it, that step is left out.
    unknown = [step for step in range(6, 48, 6) if update]
    assert run.steps.tolist() == [step for step in range(0, 48, every) if step not in unknown]


@pytest.mark.parametrize("first", ["inner", "outer"])
def test_an_optimizer_that_wraps_another_takes_one_step_with_it(start, tmp_path, first):
    class Outer(torch.optim.SGD):
        def step(self, closure=None):
            inner.step()

    tracker = start(every=1, groups="a=0,b=1-2")
    model = network()
    kinds = {"inner": torch.optim.SGD, "outer": Outer}
    made = {name: kinds[name](model.parameters(), lr=0.05) for name in (first, *(kinds.keys() - {first}))}
    inner = made["inner"]
    for x, y in [batch for _ in range(4) for batch in DataLoader(data(), batch_size=20)]:
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        made["outer"].step()

    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == list(range(12))


def test_the_classifier_alone_is_followed_after_the_whole_model(start, tmp_path):
    tracker = start(every=1, groups="a=0,b=1-2", layers=True)
    model = network()
    fit(model, model.parameters(), data(), 1)
    model[0].requires_grad_(False)
    fit(model, model[2].parameters(), data(), 2)

    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == [0, 1, 2, 5, 6, 7, 8]
    assert run.layers == ("0", "1", "2")
    assert run.norm("a", layer="0")[-1] == 0.0


def test_a_replaced_head_is_measured_and_the_layers_of_the_log_keep_their_meaning(start, tmp_path):
    tracker = start(every=1, groups="a=0,b=1-2", layers=True)
    model = network()
    fit(model, model.parameters(), data(), 1)
    model[2] = nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 3))  # another number of layers
    fit(model, model[2].parameters(), data(), 9)
    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == [0, 1, 2, *range(24, 30)]
    assert np.isfinite(run.norm("a", layer="2")[:3]).all()
    assert np.isnan(run.norm("a", layer="2")[3:]).all()
    assert np.isfinite(run.norm("a")).all()
    assert [event["kind"] for event in run.events].count("layers") == 1


def test_every_fold_of_a_cross_validation_is_measured(start, tmp_path):
    tracker = start(every=1, groups="a=0,b=1-2")
    for fold in range(3):
        model = network()
        fit(model, model.parameters(), data(fold), 10)

    run = finished(tracker, tmp_path)
    # Thirty steps each; twenty, and the one in which the new model is found, pass by unmeasured.
    assert len(run.steps) == 30 + 2 * 9
    assert [e["model"] for e in run.events if e["kind"] == "model"] == ["Sequential", "Sequential"]
    assert run.epoch[-1] > run.epoch[0]


def test_an_adversary_that_steps_in_turns_leaves_the_classifier_its_lens(start, tmp_path):
    tracker = start(every=1, groups="a=0,b=1-2")
    model, critic = network(), nn.Linear(5, 1)
    opt, opt_critic = (torch.optim.SGD(m.parameters(), lr=0.01) for m in (model, critic))
    for x, y in DataLoader(data(), batch_size=6):
        for _ in range(5):
            opt_critic.zero_grad()
            critic(x).mean().backward()
            opt_critic.step()
        opt.zero_grad()
        F.cross_entropy(model(x), y).backward()
        opt.step()

    run = finished(tracker, tmp_path)
    assert run.steps.tolist() == list(range(10))
    assert not [e for e in run.events if e["kind"] == "model"]
    assert run.norm("rest") == pytest.approx(0.0)


def test_a_loader_made_in_the_loop_counts_passes_and_classes(start, tmp_path):
    tracker = start(every=1)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(3):
        for x, y in DataLoader(data(), batch_size=20):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()

    run = finished(tracker, tmp_path)
    assert run.meta.class_counts == (20, 20, 20)
    assert run.epoch.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_an_optimizer_that_was_given_up_does_not_hide_the_next_one():
    def optimizer():
        parameter = torch.zeros(1, requires_grad=True)
        parameter.grad = torch.zeros(1)
        return torch.optim.SGD([parameter], lr=0.1)

    known, stranger, new = optimizer(), optimizer(), optimizer()
    following = OptimizerChanges(
        SimpleNamespace(step=0), known, set(), lambda: None, lambda error: pytest.fail(str(error)), OtherModels()
    )
    try:
        for _ in range(30):
            stranger.step()
        assert following.lost
        following.give_up()
        for _ in range(30):
            stranger.step()
            stranger.step()
            new.step()
        assert following.lost
        assert following.newcomer() is new
    finally:
        following.stop()
