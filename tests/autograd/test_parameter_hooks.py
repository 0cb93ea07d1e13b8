"""Hooks on parameters run once for each backward pass of the training, and what they do to a gradient is not measured."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from gradlens import Lens, group_gradients
from gradlens.autograd.parameter_hooks import silenced
from gradlens.measure.probe import probe
from gradlens.tracking.attach.tracked_lens import TrackedLens
from tests.engines.zoo import GROUPS
from tests.lens.oracle import apart, gram, same
from tests.lens.training import accumulated, batches, loss_of, mlp, state

ENGINES = ("masked", "split", "func")


pytestmark = pytest.mark.usefixtures("one_thread")


def average(model: nn.Module) -> None:
    """Replaces the first layer's gradient by its running average, which the model keeps."""
    model.register_buffer("average", torch.zeros(7, 5))

    def hook(gradient: Tensor) -> Tensor:
        model.average.mul_(0.9).add_(gradient, alpha=0.1)
        return model.average.clone()

    model[0].weight.register_hook(hook)


def clip(model: nn.Module) -> None:
    for param in model.parameters():
        param.register_hook(lambda g: g.clamp(-1e-2, 1e-2))


def clip_in_place(model: nn.Module) -> None:
    for param in model.parameters():
        param.register_hook(lambda g: g.clamp_(-1e-2, 1e-2))


def hooked(install: Callable[[nn.Module], None]) -> nn.Sequential:
    model = mlp()
    install(model)
    return model


def _plain(model: nn.Module) -> nn.Module:
    """The same network without hooks: copying hooks would run them."""
    other = mlp()
    other.load_state_dict(model.state_dict(), strict=False)
    return other


@pytest.mark.parametrize("install", [average, clip, clip_in_place])
@pytest.mark.parametrize("engine", ENGINES)
def test_training_is_its_own_and_gradients_are_those_before_the_hooks(
    engine: str, install: Callable[[nn.Module], None]
) -> None:
    model, twin = hooked(install), hooked(install)
    optimizer, other = (torch.optim.SGD(m.parameters(), 0.1, momentum=0.9) for m in (model, twin))
    with Lens(model, GROUPS, optimizer=optimizer, every=1, engine=engine, strict=True) as lens:
        for step in range(3):
            micro = batches(3, seed=step)
            vectors = [accumulated(_plain(model), micro, ids) for ids in GROUPS.classes]
            for x, y in micro:
                lens.backward(loss_of(model, x, y) / 3, y)
                (loss_of(twin, x, y) / 3).backward()
            for each in (optimizer, other):
                each.step()
                each.zero_grad()
            m = lens.last
            assert m is not None
            assert m.step == step
            assert apart(m.gram, gram([*vectors, [None] * 4])) <= 1e-4
            assert m.residual <= 1e-5
        assert lens.engine_name == engine
    assert same(state(model, optimizer), state(twin, other))
    assert [len(p._backward_hooks or ()) for p in model.parameters()] == [
        len(p._backward_hooks or ()) for p in twin.parameters()
    ]


def test_a_backward_without_samples_is_measured_before_the_hooks_too() -> None:
    model = hooked(clip)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with TrackedLens(model, GROUPS, optimizer=optimizer, every=1, strict=True) as lens:
        x, y = batches(1)[0]
        lens.backward(loss_of(model, x, y), y)
        penalty = model[0].weight.square().sum()
        lens.rest_backward(penalty, backward=penalty.backward)
        expected = [[3 * g for g in accumulated(_plain(model), [(x, y)], ids)] for ids in GROUPS.classes]
        rest = [2 * model[0].weight.detach(), None, None, None]
        optimizer.step()
        assert lens.last is not None
        assert apart(lens.last.gram, gram([*expected, rest])) <= 1e-4


def test_snapshots_and_probes_run_no_hooks() -> None:
    seen: list[int] = []
    model = mlp()
    for number, param in enumerate(model.parameters()):
        param.register_hook(lambda _, number=number: seen.append(number))
    x, y = batches(1)[0]
    loss = loss_of(model, x, y)
    group_gradients(model, loss, y, GROUPS)
    probe(model, [(x, y)], GROUPS)
    assert seen == []
    loss.backward()
    assert sorted(seen) == [0, 1, 2, 3]


def test_hooks_come_back_in_their_order_whatever_happens() -> None:
    param = nn.Parameter(torch.ones(2))
    seen: list[str] = []
    handles = [param.register_hook(lambda _, name=name: seen.append(name)) for name in "abc"]

    def interrupted() -> None:
        with silenced([param]):
            param.sum().backward()
            raise KeyError

    with pytest.raises(KeyError):
        interrupted()
    assert seen == []
    handles[1].remove()
    param.sum().backward()
    assert seen == ["a", "c"]
