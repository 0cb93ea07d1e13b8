"""Scripts that train in threads: what one thread trains stays as it is while another one is measured."""

from __future__ import annotations

import threading

import torch
import torch.nn.functional as F
from torch import nn

from tests.tracking.in_process import finished

GROUPS = "head=0,tail=1-2"
PATIENCE = 60


class Halting(torch.autograd.Function):
    """Tells when its backward pass has begun, and waits there."""

    begun, go = threading.Event(), threading.Event()

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        Halting.begun.set()
        assert Halting.go.wait(PATIENCE)
        return grad


def network():
    return nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))


def data(seed):
    return torch.randn(12, 5, generator=torch.Generator().manual_seed(seed)), torch.arange(12) % 3


def step(model, optimizer, seed):
    x, y = data(seed)
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def in_thread(work, *arguments):
    thread = threading.Thread(target=work, args=arguments)
    thread.start()
    return thread


def trained(start=None):
    """Another model's pass, in a thread of its own, is under way while the script goes on with the model."""
    torch.manual_seed(0)
    model, other = network(), network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    Halting.begun.clear()
    Halting.go.clear()
    tracker = None if start is None else start(every=1, groups=GROUPS, engine="masked")
    for seed in range(3):
        step(model, optimizer, seed)
    x, y = data(3)
    thread = in_thread(Halting.apply(F.cross_entropy(other(x), y)).backward)
    assert Halting.begun.wait(PATIENCE)
    optimizer.zero_grad()
    x, y = data(4)
    loss = F.cross_entropy(model(x), y)
    Halting.go.set()
    thread.join()
    loss.backward()
    optimizer.step()
    step(model, optimizer, 5)
    state = {name: value.clone() for name, value in (*model.state_dict().items(), *other.state_dict().items())}
    return state, tracker


def test_a_pass_of_another_model_in_another_thread_leaves_the_training_as_it_is(start, tmp_path):
    expected, _ = trained()
    found, tracker = trained(start)

    assert all(torch.equal(found[name], value) for name, value in expected.items())
    run = finished(tracker, tmp_path)
    assert 4 in run.steps
    assert (run.residual < 1e-5).all()


def test_passes_of_the_measured_model_count_in_whatever_thread_they_run(start, tmp_path):
    tracker = start(every=1, groups=GROUPS)
    torch.manual_seed(0)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for seed in range(4):
        in_thread(step, model, optimizer, seed).join()

    run = finished(tracker, tmp_path)
    assert len(run) >= 3
    assert (run.residual < 1e-5).all()
