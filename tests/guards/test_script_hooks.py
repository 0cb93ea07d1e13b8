"""The script's hooks hear of the training's backward passes only, however they were registered."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradlens import ClassGroups, Lens
from gradlens.guards import script_hooks
from gradlens.guards.script_hooks import ScriptHook, hide, of_script
from tests.guards.scripts_with_hooks import (
    KINDS,
    STEPS,
    Script,
)


@pytest.mark.filterwarnings("ignore:Full backward hook is firing", "ignore:Using a non-full backward hook")
@pytest.mark.parametrize("engine", ["masked", "split", "func"])
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_hook_with_a_state_hears_of_the_training_only(kind: Callable[[Script], None], engine: str) -> None:
    outcomes = []
    for measured in (False, True):
        script = Script()
        kind(script)
        outcomes.append(script.train(measured, engine))
    (weights, calls, seen, _), (measured_weights, measured_calls, measured_seen, residuals) = outcomes
    assert calls > 0
    assert (measured_calls, measured_seen) == (calls, seen)
    assert all(map(torch.equal, weights, measured_weights))
    assert len(residuals) >= STEPS - 1
    assert max(residuals) < 1e-6


@pytest.fixture
def hidden():
    show = hide()
    yield
    show()


def test_a_wrapped_hook_is_the_hook_itself_to_copies_pickles_and_who_looks() -> None:
    wrapped = of_script(_hook)
    assert isinstance(wrapped, ScriptHook)
    assert copy.deepcopy(wrapped) is copy.copy(wrapped) is _hook
    data = pickle.dumps(wrapped)
    assert pickle.loads(data) is _hook
    assert b"gradlens" not in data
    assert wrapped.__name__ == "_hook"
    assert of_script(wrapped) is wrapped


@pytest.mark.usefixtures("hidden")
def test_hooks_of_modules_and_parameters_stand_as_they_were_registered() -> None:
    layer = nn.Linear(2, 2)
    handle = layer.register_full_backward_hook(_hook)
    first = layer.register_full_backward_hook(_other, prepend=True)
    layer.weight.register_hook(_hook)
    assert list(layer._backward_hooks.values()) == [_other, _hook]
    assert list(layer.weight._backward_hooks.values()) == [_hook]
    handle.remove()
    first.remove()
    assert not layer._backward_hooks


@pytest.mark.usefixtures("hidden")
def test_a_handle_removes_a_hook_of_the_graph() -> None:
    heard: list[str] = []
    x = torch.ones(2, requires_grad=True)
    y = x * 2
    y.register_hook(lambda _: heard.append("tensor")).remove()
    y.grad_fn.register_hook(lambda *_: heard.append("node")).remove()
    y.register_hook(lambda _: heard.append("kept"))
    y.sum().backward()
    assert heard == ["kept"]


@pytest.mark.usefixtures("hidden")
def test_another_threads_hooks_run_during_our_passes() -> None:
    from threading import Thread

    from gradlens.guards.own_pass import OwnPass

    heard: list[str] = []

    def backward(name: str) -> None:
        x = torch.ones(2, requires_grad=True) * 1
        x.register_hook(lambda _: heard.append(name))
        x.sum().backward()

    with OwnPass():
        thread = Thread(target=backward, args=("other",))
        thread.start()
        thread.join()
        backward("ours")
    assert heard == ["other"]


def test_nothing_is_wrapped_when_nobody_measures() -> None:
    before = Tensor.register_hook, Tensor.retain_grad, torch.autograd.Function._register_hook
    show = hide()
    assert Tensor.register_hook is not before[0]
    show()
    assert (Tensor.register_hook, Tensor.retain_grad, torch.autograd.Function._register_hook) == before
    assert "retain_grad" not in vars(Tensor)


def _hook(*_: Any) -> None: ...
def _other(*_: Any) -> None: ...


def test_a_fault_after_the_last_measured_pass_is_told_at_the_end_by_the_lens_that_it_belongs_to(monkeypatch):
    def told(fault: bool) -> str:
        model, labels, lines = nn.Linear(2, 2), torch.tensor([0, 1]), []
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        groups = ClassGroups({"a": [0], "b": [1]}, 2)
        with Lens(model, groups, optimizer=optimizer, every=1, announce=lines.append) as lens:
            lens.backward(nn.functional.cross_entropy(model(torch.ones(2, 2)), labels), labels)
            optimizer.step()
            if fault:
                with monkeypatch.context() as patch:
                    patch.setattr(script_hooks, "of_script", _fail)
                    model(torch.ones(2, 2)).register_hook(_hook)
        return "\n".join(lines)

    assert "injected" in told(fault=True)
    assert "injected" not in told(fault=False)


def _fail(_: Any) -> Any:
    raise ValueError("injected")
