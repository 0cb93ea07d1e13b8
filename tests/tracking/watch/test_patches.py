"""Backward passes that are called with more than the loss: inputs=, a gradient."""

from __future__ import annotations

import shutil
from inspect import signature

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from gradlens.runlog import Run
from gradlens.tracking.launch.ending import why_nothing
from tests.tracking.in_process import data, said, same

# As torch 2.15 does.
TAKES_DICTS = "dict" in str(signature(torch.autograd.backward).parameters["inputs"].annotation)


def each_step(backward):
    """Trains with a backward pass of one's own."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in DataLoader(data(), batch_size=19):
        optimizer.zero_grad()
        backward(F.cross_entropy(model(x), y, reduction="none"), model)
        optimizer.step()
    return list(model.parameters())


def ordinary(losses, _):
    losses.mean().backward()


def with_inputs(losses, model):
    losses.mean().backward(inputs=list(model.parameters()))


def with_an_iterator(losses, model):
    losses.mean().backward(inputs=model.parameters())


def with_a_dict(losses, model):
    losses.mean().backward(inputs=dict(model.named_parameters()))


def with_a_set(losses, model):
    losses.mean().backward(inputs=set(model.parameters()))


def with_an_iterator_in_its_place(losses, model):
    torch.autograd.backward(losses.mean(), None, None, False, None, model.parameters())


def with_some_inputs(losses, model):
    losses.mean().backward(inputs=list(model[2].parameters()))


def with_gradient(losses, _):
    losses.backward(torch.full_like(losses, 1 / len(losses)))


@pytest.mark.parametrize(
    "naming",
    [
        with_inputs,
        with_an_iterator,
        pytest.param(
            with_a_dict, marks=pytest.mark.skipif(not TAKES_DICTS, reason="this torch takes no dict of inputs")
        ),
        with_a_set,
        with_an_iterator_in_its_place,
    ],
)
def test_a_backward_pass_that_names_all_parameters_is_measured_as_one_that_names_none(start, tmp_path, naming):
    runs = []
    for backward in (ordinary, naming):
        expected = each_step(backward)
        tracker = start(every=1)
        assert same(each_step(backward), expected)
        tracker.lens.close()
        run = Run(tmp_path / "run")
        runs.append([run.norm(name) for name in ("all", *run.groups.names)])
        tracker.stop()
        shutil.rmtree(tmp_path / "run")
    assert len(runs[0][0]) >= 3
    np.testing.assert_allclose(*runs, rtol=1e-6)


@pytest.mark.parametrize("backward", [with_some_inputs, with_gradient])
def test_other_backward_passes_are_not_measured_and_the_end_says_why(start, backward):
    expected = each_step(backward)
    tracker = start(every=1)
    assert same(each_step(backward), expected)
    assert tracker.lens is None
    assert "or inputs= with some of the trained parameters" in why_nothing(tracker, "finished")


def test_beside_other_backward_passes_the_labels_are_what_is_missing(start):
    def by_hand(losses, model):
        (-F.log_softmax(model(torch.ones(4, 5)), 1)[:, 0].mean()).backward(retain_graph=True)
        with_some_inputs(losses, model)

    tracker = start(every=1)
    each_step(by_hand)
    assert "inputs=" not in why_nothing(tracker, "finished")


def test_other_backward_passes_of_a_measured_loss_are_said_to_be_rest(start, tmp_path):
    def both(losses, model):
        losses.mean().backward(retain_graph=True)
        with_some_inputs(losses, model)

    expected = each_step(both)
    tracker = start(every=1)
    assert same(each_step(both), expected)
    tracker.lens.close()
    assert [line for line in said() if "of some parameters count as 'rest'" in line]
    assert np.nanmax(Run(tmp_path / "run").residual) < 1e-5
