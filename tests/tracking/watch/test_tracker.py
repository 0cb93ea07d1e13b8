"""The tracker in this process: training stays the same whatever happens inside, and steps that are not measured cost nothing."""

from __future__ import annotations

import contextlib
import sys
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset

import gradlens
from gradlens.runlog import Run
from tests.tracking.in_process import data, said, same


def train(dataset=None, epochs=2):
    """An ordinary training; returns everything that it leaves."""
    dataset = data() if dataset is None else dataset
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(epochs):
        for x, y in DataLoader(dataset, batch_size=19, shuffle=True):
            loss = F.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    momenta = [optimizer.state[p]["momentum_buffer"] for p in model.parameters()]
    return [*model.state_dict().values(), *momenta, torch.get_rng_state()]


@pytest.fixture(scope="module")
def untracked():
    return train()


def test_training_is_bit_identical_and_measured(start, untracked, tmp_path):
    tracker = start(every=1)

    assert same(train(), untracked)
    tracker.lens.close()
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == list(range(8))
    assert run.epoch.tolist() == [0] * 4 + [1] * 4
    assert run.counts.sum() == 2 * 76
    assert np.nanmax(run.residual) < 1e-5


def test_strict_raises_the_fault(start, monkeypatch):
    monkeypatch.setattr("gradlens.tracking.find.labels.weigh", lambda *_: 1 / 0)
    start(every=1, strict=True)

    with pytest.raises(ZeroDivisionError):
        train()


def test_an_error_of_the_scripts_own_backward_passes_through(start):
    start(every=1)
    x = torch.randn(4, 3, requires_grad=True)

    class Broken(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        F.cross_entropy(Broken.apply(x * 2), torch.tensor([0, 1, 2, 0])).backward()


def test_groups_may_name_classes_to_come(start):
    tracker = start(every=1, groups="head=0-1,tail=2-9")
    train()
    assert tracker.faults.failure is None
    assert tracker.lens.last.counts.sum() > 0
    assert any(
        "the model's output has 3: class ids from there on are absent until they come" in line for line in said()
    )


def test_groups_of_a_run_over_other_classes_are_measured(start):
    groups = gradlens.ClassGroups({"a": [0]}, 5).to_json()
    tracker = start(every=1, groups_from=groups, groups_source=Path("runs/other"))
    train()
    assert tracker.faults.failure is None
    assert tracker.lens.last.names[0] == "a"


def test_groups_of_a_run_say_so_where_they_are_announced(start, tmp_path):
    counted = gradlens.ClassGroups.head_tail([30, 30, 5])
    tracker = start(every=1, groups_from=counted.to_json(), groups_source=Path("runs/lt"))
    train()
    tracker.lens.close()
    assert (
        Run(tmp_path / "run").groups.rule == "as in runs/lt: by the paper's rule, head classes have at least 20 images"
    )
    assert "(as in runs/lt: by the paper's rule, head classes have at least 20 images)," in sys.__stderr__.getvalue()


@pytest.mark.parametrize(
    ("asked", "names"), [("shots", ("medium", "few")), ("per-class", ("0", "1", "2")), ("a=0+2", ("a",))]
)
def test_groups_are_those_asked_for(asked, names, start, tmp_path):
    tracker = start(every=1, groups=asked)
    train()
    tracker.lens.close()
    assert Run(tmp_path / "run").groups.names == names


def test_labels_are_counted_where_the_data_do_not_tell(start, untracked, tmp_path):
    class Silent(torch.utils.data.Dataset):
        def __init__(self):
            self.pairs = list(data())

        def __len__(self):
            return len(self.pairs)

        def __getitem__(self, index):
            return self.pairs[index]

    dataset = Silent()
    tracker = start(every=1)

    assert same(train(dataset), untracked)
    tracker.lens.close()
    run = Run(tmp_path / "run")
    assert run.meta.class_counts == (40, 30, 6)
    assert run.steps.tolist() == [4, 5, 6, 7]
    assert run.epoch.tolist() == [1, 1, 1, 1]


def test_class_counts_that_deny_the_labels_do_not_count(start):
    class Misleading(Dataset):
        def __init__(self):
            self.rows = list(data())
            self.targets = [0] * len(self.rows)

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, index):
            return self.rows[index]

    dataset = Misleading()
    tracker = start(every=1)
    train(dataset, epochs=1)

    assert tracker.lens is None
    # What was found stands in the first line, though the groups are not known yet.
    line = said()[0]
    assert "model Sequential (91 parameters), anchor [19, 3] at cross_entropy, labels int64 [19], " in line
    assert "groups from counting the labels of the first pass over the data" in line
    assert "every step, run " in line


def test_labels_sliced_from_a_tensor_tell_the_class_counts(start, tmp_path):
    x, y = data().tensors
    model = nn.Linear(5, 3)
    tracker = start(every=1)
    for i in range(0, 76, 19):
        F.cross_entropy(model(x[i : i + 19]), y[i : i + 19]).backward()

    tracker.lens.close()
    assert Run(tmp_path / "run").meta.class_counts == (40, 30, 6)


def test_a_loss_without_labels_counts_as_rest(start, tmp_path):
    """Two backward passes make a step; the second passes through no sample."""
    torch.manual_seed(0)
    (x, y), model = data().tensors, nn.Linear(5, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    tracker = start(every=1, groups="a=0,b=1-2")
    for _ in range(2):
        F.cross_entropy(model(x), y).backward()
        (0.1 * model.weight.square().sum()).backward()
        penalty = 0.2 * model.weight.detach()
        optimizer.step()
        optimizer.zero_grad()

    tracker.lens.close()
    run = Run(tmp_path / "run")
    assert run.steps[-1] == 1
    assert run.norm("rest")[-1] == pytest.approx(float(penalty.norm()), rel=1e-5)
    assert np.nanmax(run.residual) < 1e-5


def test_a_scripts_own_lens_is_left_alone(start, tmp_path):
    tracker = start(every=1)
    (x, y), model = data().tensors, nn.Linear(5, 3)
    with gradlens.Lens(model, gradlens.ClassGroups.per_class(3), every=1) as lens:
        for _ in range(3):
            lens.backward(F.cross_entropy(model(x), y), y)
        assert lens.last.step == 2
    assert tracker.lens is None
    assert any("a lens of its own" in line for line in said())


def test_observed_outputs_are_measured_and_wrong_ones_named(start, tmp_path):
    (x, y), model = data().tensors, nn.Linear(5, 3)
    tracker = start(every=1, groups="a=0,b=1-2")
    for _ in range(2):
        out = model(x)
        gradlens.observe(out, y)
        (out.logsumexp(1) - out.gather(1, y[:, None])[:, 0]).mean().backward()
    assert tracker.lens.step == 2
    gradlens.observe({"logits": out}, y)
    assert "gradlens.observe got dict and Tensor" in said()[-1]


@pytest.mark.parametrize("optimized", [True, False])
def test_steps_are_counted_from_the_first_although_labels_are_found_later(start, tmp_path, optimized):
    (x, y), model = data().tensors, nn.Linear(5, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1) if optimized else None
    tracker = start(every=1, groups="a=0,b=1-2")
    for _ in range(4):
        out = model(x)
        model.zero_grad()
        # Written by hand: where the labels are is found in the graph, in the second step; splitting needs its forward pass, too.
        (out.logsumexp(1) - out[torch.arange(len(y)), y]).mean().backward()
        if optimizer is not None:
            optimizer.step()
    tracker.lens.close()
    assert Run(tmp_path / "run").steps.tolist() == [2, 3]


def test_observe_without_tracking_does_nothing():
    assert gradlens.observe(object(), None) is None


def test_an_unmeasured_step_calls_next_to_nothing(start):
    (x, y), model = data().tensors, nn.Linear(5, 3)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    tracker = start(every=10**6, groups="a=0,b=1-2")
    calls: list[str] = []

    def count(frame, event, argument):
        if event == "call" and "gradlens" in frame.f_globals.get("__name__", "").split("."):
            calls.append(frame.f_code.co_qualname)

    def step():
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    step()
    step()
    assert not tracker.lens.armed
    sys.setprofile(count)
    try:
        step()
    finally:
        sys.setprofile(None)
    # A flag for each loss call and backward pass, and a few calls after the step: microseconds, whatever model and batch.
    assert 0 < len(calls) <= 16, calls


@pytest.mark.parametrize("kind", [iter, tuple, lambda losses: namedtuple("Losses", "a")(*losses)])
def test_losses_of_any_kind_are_differentiated_once_and_measured(start, kind):
    tracker = start(every=1, groups="a=0,b=1-2")
    model = torch.nn.Linear(4, 3)
    for _ in range(2):  # an engine may begin with the second step
        torch.autograd.backward(kind([F.cross_entropy(model(torch.ones(2, 4)), torch.tensor([0, 1]))]))
    assert model.weight.grad is not None
    assert tracker.faults.failure is None
    assert tracker.lens.last is not None


def test_a_pass_from_an_edge_of_the_graph_is_left_alone_with_a_reason(start):
    tracker = start(every=1, groups="a=0,b=1-2")
    model = torch.nn.Linear(4, 3)
    loss = F.cross_entropy(model(torch.ones(2, 4)), torch.tensor([0, 1]))
    torch.autograd.backward(torch.autograd.graph.get_gradient_edge(loss), torch.ones(()))
    assert model.weight.grad is not None
    assert "backward from GradientEdge" in str(tracker.faults.failure)


def test_a_backward_pass_of_nothing_is_no_reason_to_stop(start):
    tracker = start(every=1)
    train(data(), epochs=1)
    with contextlib.suppress(Exception):  # whatever torch says of it
        torch.autograd.backward([])
    train(data(), epochs=1)
    assert tracker.faults.failure is None
    assert tracker.lens is not None
