"""Models that train beside the measured one, or before or after it: the end says how many steps were not measured."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.tracking.attach.other_models import OtherModels

X, Y = torch.randn(60, 5, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
GROUPS = "a=0,b=1-2"


def network():
    return nn.Sequential(nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Linear(6, 3))


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.05)


def train(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        optimizer.step()


def line(steps, optimizers, shown):
    return (
        f"not measured: {steps} by {optimizers} of other models ({shown}); to measure them, train each model in a process of "
        "its own, or give each a gradlens.Lens"
    )


@pytest.mark.parametrize("fresh", [False, True])
def test_clients_that_take_turns(start, fresh):
    tracker = start(every=1, groups=GROUPS)
    server = network()
    clients = [copy.deepcopy(server) for _ in range(3)]
    optimizers = [sgd(client) for client in clients]
    for _ in range(3):
        if fresh:
            clients = [copy.deepcopy(server) for _ in range(3)]
            optimizers = [sgd(client) for client in clients]
        for client, optimizer in zip(clients, optimizers, strict=True):
            train(client, optimizer, 2)

    # 18 steps in all, six of one client that stays, two of one that is made anew in each round.
    assert tracker.lens.step == (2 if fresh else 6)
    expected = ("16 optimizer steps", "8 optimizers") if fresh else ("12 optimizer steps", "2 optimizers")
    assert tracker.trained_beside() == line(*expected, "SGD of Sequential")


def test_a_model_that_trained_before_and_is_gone(start):
    tracker = start(every=1, groups=GROUPS)

    def pretrain():
        autoencoder = nn.Linear(5, 5)
        optimizer = torch.optim.Adam(autoencoder.parameters())
        for _ in range(4):
            optimizer.zero_grad()
            F.mse_loss(autoencoder(X), X).backward()
            optimizer.step()

    pretrain()
    gc.collect()
    model = network()
    train(model, sgd(model), 3)

    assert tracker.lens.step == 3
    assert tracker.trained_beside() == line("4 optimizer steps", "1 optimizer", "Adam of Linear")


def test_kinds_of_models_are_named_with_their_steps(start):
    tracker = start(every=1, groups=GROUPS)
    model, small, regression = network(), nn.Linear(5, 3), nn.Linear(5, 1)
    train(model, sgd(model), 2)
    train(small, sgd(small), 3)
    adam = torch.optim.Adam(regression.parameters())
    for _ in range(4):
        regression(X).square().mean().backward()
        adam.step()

    shown = "SGD of Linear: 3, Adam of Linear: 4"
    assert tracker.trained_beside() == line("7 optimizer steps", "2 optimizers", shown)


def test_folds_are_followed_after_some_steps_which_are_counted(start):
    tracker = start(every=1, groups=GROUPS)
    for _ in range(3):
        model = network()
        train(model, sgd(model), 30)

    # It takes 20 steps to see that another model trains; these are not among the steps of the run.
    assert tracker.lens.step == 30 + 10 + 10
    assert tracker.trained_beside() == line("40 optimizer steps", "2 optimizers", "SGD of Sequential")


def test_a_model_that_is_measured_again_later(start):
    tracker = start(every=1, groups=GROUPS)
    first, second = network(), network()
    one, two = sgd(first), sgd(second)
    for model, optimizer in ((first, one), (second, two), (first, one)):
        train(model, optimizer, 30)

    assert tracker.lens.step == 30 + 10 + 10
    assert tracker.trained_beside().startswith("not measured: 40 optimizer steps")


class Wrapped(torch.optim.Optimizer):
    """Hands its steps on, as SAM and Lookahead do."""

    def __init__(self, inner):
        super().__init__(inner.param_groups, {})
        self.inner = inner

    def step(self, closure=None):
        self.inner.step()


def test_what_trains_the_measured_model_is_no_other(start):
    tracker = start(every=1, groups=GROUPS)
    model = network()
    body, head = torch.optim.SGD(model[:2].parameters(), lr=0.05), torch.optim.SGD(model[2].parameters(), lr=0.05)
    for _ in range(4):
        model.zero_grad()
        F.cross_entropy(model(X), Y).backward()
        body.step()
        head.step()
    train(model, Wrapped(sgd(model)), 5)
    model[2] = nn.Linear(6, 3)
    train(model, sgd(model[2]), 25)  # a new head of the same model

    assert tracker.trained_beside() is None


def test_a_wrapped_optimizer_steps_once():
    others = OtherModels()
    outer = Wrapped(sgd(network()))
    for optimizer in (outer.inner, outer):
        others.stepped(optimizer)
    assert others.line() == line("1 optimizer step", "1 optimizer", "SGD of loose tensors")


def test_a_training_of_one_model_says_nothing(start):
    tracker = start(every=1, groups=GROUPS)
    model = network()
    train(model, sgd(model), 3)
    assert tracker.trained_beside() is None


def test_the_network_that_judges_is_counted(start):
    """A classifier, and an adversary that steps each time, too."""
    tracker = start(every=1, groups=GROUPS)
    model, judge = network(), nn.Linear(3, 1)
    one, two = sgd(model), torch.optim.Adam(judge.parameters())
    for _ in range(5):
        train(model, one, 1)
        two.zero_grad()
        F.binary_cross_entropy_with_logits(judge(model(X).detach()), torch.ones(60, 1)).backward()
        two.step()
    assert tracker.trained_beside() == line("5 optimizer steps", "1 optimizer", "Adam of Linear")
