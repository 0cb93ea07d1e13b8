"""The optimizer's update is recorded without being asked for, where it is whole; elsewhere the run says why not."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.analysis.facts import facts
from gradlens.runlog import Run


def model() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 4))


def train(net: nn.Sequential, optimizers: list[torch.optim.Optimizer], steps: int = 5) -> None:
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        x, y = torch.randn(12, 6, generator=generator), torch.randint(4, (12,), generator=generator)
        F.cross_entropy(net(x), y).backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


def whole(net):
    return [torch.optim.Adam(net.parameters(), 0.01)]


def halves(net):
    return [torch.optim.SGD(net[0].parameters(), 0.01), torch.optim.SGD(net[2].parameters(), 0.01)]


def test_it_is_recorded_and_training_is_as_before(start):
    net = model()
    twin = copy.deepcopy(net)
    train(twin, whole(twin))
    tracker = start(every=1, groups="a=0-1,b=2-3")
    optimizers = whole(net)
    train(net, optimizers)
    tracker.lens.close()
    run = Run(tracker.folder)
    assert run.names == ("a", "b", "rest", "update")
    assert np.isfinite(run.benefit("a")).all()
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), twin.parameters(), strict=True))
    assert not optimizers[0]._optimizer_step_pre_hooks


@pytest.mark.parametrize(
    ("make", "options", "why"),
    [(halves, {}, "owns only 2 of 4 trained parameters"), (whole, {"update": False}, None)],
    ids=["two optimizers", "switched off"],
)
def test_elsewhere_the_run_says_why_not(start, make, options, why):
    net = model()
    tracker = start(every=1, groups="a=0-1,b=2-3", **options)
    train(net, make(net))
    tracker.lens.close()
    run = Run(tracker.folder)
    assert not run.has_update
    assert len(run) > 0
    said = dict(facts(run)).get("benefit of steps")
    assert said is None if why is None else why in said
