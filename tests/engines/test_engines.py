"""Every engine on every case of the zoo: exact, adding up, leaving no trace; or refusing before it is too late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradlens.autograd.cotangents import AnchoredLosses
from gradlens.autograd.grads import Grads
from gradlens.batch.rows import group_rows
from gradlens.engines import Engine, EngineRefusal
from tests.engines.oracle import brute_force, error
from tests.engines.pairs import ENGINES, EXACT, REFUSED, WANTED, trainable
from tests.engines.zoo import GROUPS, ZOO, Case

pytestmark = pytest.mark.usefixtures("one_thread")


def step(
    engine: Engine | None, case: Case, model: nn.Module, inputs: tuple[Tensor, ...], labels: Tensor
) -> list[Grads]:
    """One forward and one backward pass, measured where there is an engine."""
    if engine is None:
        case.loss(model(*inputs), labels).mean().backward()
        return []
    engine.arm()
    output = model(*inputs)
    loss = case.loss(output, labels).mean()
    return engine.measure(AnchoredLosses([loss], [output]), group_rows(labels, GROUPS, output), WANTED, loss.backward)


@pytest.mark.parametrize(("engine", "name"), EXACT)
def test_agrees_with_brute_force_and_adds_up(engine: str, name: str) -> None:
    case = ZOO[name]
    model, inputs, labels = case.build()
    params = trainable(model)
    torch.manual_seed(7)
    found = step(ENGINES[engine](model, params), case, model, inputs, labels)
    truth = brute_force(name)
    for vector, expected in zip(found, truth, strict=True):
        assert error(vector, expected) <= 1e-4
    total = [sum((v.double() for v in column if v is not None), torch.zeros(())) for column in zip(*found, strict=True)]
    assert error(total, tuple(param.grad for param in params)) <= 1e-5


def train(case: Case, make: Callable[[nn.Module, list[nn.Parameter]], Engine] | None) -> dict[str, Any]:
    model, inputs, labels = case.build()
    params = trainable(model)
    optimizer = torch.optim.AdamW(params, lr=1e-3)
    engine = None if make is None else make(model, params)
    torch.manual_seed(7)
    for _ in range(2):
        optimizer.zero_grad()
        step(engine, case, model, inputs, labels)
        optimizer.step()
    state = {f"model.{key}": value for key, value in model.state_dict().items()}
    state |= {f"grad.{n}": p.grad for n, p in model.named_parameters() if p.grad is not None}
    for number, values in optimizer.state_dict()["state"].items():
        state |= {f"optimizer.{number}.{key}": value for key, value in values.items()}
    hooks = sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())
    return state | {
        "rng": torch.get_rng_state(),
        "hooks": torch.tensor(hooks),
        "training": torch.tensor(model.training),
    }


@pytest.fixture(scope="module")
def untracked() -> Callable[[str], dict[str, Any]]:
    known: dict[str, dict[str, Any]] = {}
    return lambda name: known.setdefault(name, train(ZOO[name], None))


@pytest.mark.parametrize(("engine", "name"), EXACT)
def test_training_is_bit_identical(engine: str, name: str, untracked: Callable[[str], dict[str, Any]]) -> None:
    plain, tracked = untracked(name), train(ZOO[name], ENGINES[engine])
    assert plain.keys() == tracked.keys()
    different = [key for key, value in plain.items() if not torch.equal(value, tracked[key])]
    assert different == []


@pytest.mark.parametrize(("engine", "name"), REFUSED)
def test_refuses_by_name_before_backward(engine: str, name: str) -> None:
    case = ZOO[name]
    model, inputs, labels = case.build()
    instance = ENGINES[engine](model, trainable(model))
    ran: list[None] = []
    torch.manual_seed(7)

    def attempt() -> None:
        instance.arm()
        output = model(*inputs)
        loss = case.loss(output, labels).mean()
        instance.measure(
            AnchoredLosses([loss], [output]), group_rows(labels, GROUPS, output), WANTED, lambda: ran.append(None)
        )

    with pytest.raises(EngineRefusal, match=case.refuses[engine]):
        attempt()
    assert ran == []
    assert all(param.grad is None for param in model.parameters())
    case.loss(model(*inputs), labels).mean().backward()  # plain training goes on
    assert all(param.grad is not None for param in trainable(model))
    assert not any(module._forward_hooks for module in model.modules())


def test_every_case_is_exact_for_two_engines_at_least() -> None:
    assert all(len(case.refuses) <= 1 for case in ZOO.values())
    assert all("masked" not in case.refuses for case in ZOO.values())
