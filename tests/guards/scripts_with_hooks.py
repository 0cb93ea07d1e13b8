"""A small training whose script has registered a backward hook with a state, of each kind that torch knows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import register_multi_grad_hook
from torch.nn.modules import module as of_all_modules
from torch.utils.hooks import RemovableHandle

from gradlens import ClassGroups, Lens

GROUPS = ClassGroups({"head": [0, 1], "tail": [2, 3]}, num_classes=4)


STEPS = 4


class Net(nn.Module):
    """Two layers, between which tests reach the tensors of the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(6, 8), nn.Linear(8, 4)
        self.on_hidden: Callable[[Tensor], Any] = lambda _: None

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x).relu()
        self.on_hidden(hidden)
        return self.second(hidden)


class Script:
    """A training whose learning rate is what its hooks have seen so far."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.model, self.seen, self.calls = Net(), 0.0, 0
        self.handles: list[RemovableHandle] = []

    def note(self, *gradients: Any) -> None:
        """What every hook does."""
        self.calls += 1
        self.seen += sum(float(g.norm()) for g in gradients if isinstance(g, Tensor))

    def train(self, measured: bool, engine: str = "auto") -> tuple[list[Tensor], int, float, list[float]]:
        """Returns weights, how often hooks ran, what they saw, and residuals."""
        optimizer = torch.optim.SGD(self.model.parameters(), 0.1)
        lens = Lens(self.model, GROUPS, optimizer=optimizer, every=1, engine=engine) if measured else None
        residuals = []
        for step in range(STEPS):
            generator = torch.Generator().manual_seed(step)
            x, y = torch.randn(16, 6, generator=generator), torch.randint(0, 4, (16,), generator=generator)
            loss = F.cross_entropy(self.model(x), y)
            optimizer.zero_grad()
            loss.backward() if lens is None else lens.backward(loss, y)
            optimizer.param_groups[0]["lr"] = 0.1 / (1 + self.seen)
            optimizer.step()
            if lens is not None and lens.last is not None:
                residuals.append(lens.last.residual)
        if lens is not None:
            lens.close()
        for handle in self.handles:
            handle.remove()
        return [p.detach().clone() for p in self.model.parameters()], self.calls, self.seen, residuals


def full_backward(script: Script) -> None:
    script.model.second.register_full_backward_hook(lambda _, gi, go: script.note(*gi, *go))


def full_backward_of_first_layer(script: Script) -> None:
    script.model.first.register_full_backward_hook(lambda _, gi, go: script.note(*go), prepend=True)


def full_backward_pre(script: Script) -> None:
    script.model.second.register_full_backward_pre_hook(lambda _, go: script.note(*go))


def old_backward(script: Script) -> None:
    script.model.second.register_backward_hook(lambda _, gi, go: script.note(*go))


def of_all_modules_full(script: Script) -> None:
    of_all_modules._global_is_full_backward_hook = None
    hook = of_all_modules.register_module_full_backward_hook(lambda _, gi, go: script.note(*go))
    script.handles.append(hook)


def of_all_modules_pre(script: Script) -> None:
    hook = of_all_modules.register_module_full_backward_pre_hook(lambda _, go: script.note(*go))
    script.handles.append(hook)


def of_all_modules_old(script: Script) -> None:
    of_all_modules._global_is_full_backward_hook = None  # torch keeps what kind came first, for good
    hook = of_all_modules.register_module_backward_hook(lambda _, gi, go: script.note(*go))
    script.handles.append(hook)


def tensor(script: Script) -> None:
    script.model.on_hidden = lambda hidden: hidden.register_hook(script.note)


def node(script: Script) -> None:
    script.model.on_hidden = lambda hidden: hidden.grad_fn.register_hook(lambda gi, go: script.note(*go))


def node_pre(script: Script) -> None:
    script.model.on_hidden = lambda hidden: hidden.grad_fn.register_prehook(lambda go: script.note(*go))


def several_tensors(script: Script) -> None:
    script.model.on_hidden = lambda hidden: register_multi_grad_hook([hidden], lambda grads: script.note(*grads))


def any_of_several_tensors(script: Script) -> None:
    script.model.on_hidden = lambda hidden: register_multi_grad_hook([hidden], script.note, mode="any")


def several_parameters(script: Script) -> None:
    register_multi_grad_hook(list(script.model.parameters()), lambda grads: script.note(*grads))


def accumulating_node(script: Script) -> None:
    weight = script.model.second.weight
    script.node = weight.expand_as(weight).grad_fn.next_functions[0][0]  # kept alive, and its hooks with it
    script.node.register_hook(lambda gi, go: script.note(*go))


def after_accumulating(script: Script) -> None:
    script.model.second.weight.register_post_accumulate_grad_hook(lambda param: script.note(param.grad))


def leaf(script: Script) -> None:
    script.model.second.weight.register_hook(script.note)


def retained(script: Script) -> None:
    def on_hidden(hidden: Tensor) -> None:
        hidden.retain_grad()
        if hasattr(script, "hidden"):
            script.note(script.hidden.grad)
        script.hidden = hidden

    script.model.on_hidden = on_hidden


KINDS = [
    full_backward, full_backward_of_first_layer, full_backward_pre, old_backward, of_all_modules_full, of_all_modules_pre,
    of_all_modules_old, tensor, node, node_pre, several_tensors, any_of_several_tensors, several_parameters,
    accumulating_node, after_accumulating, leaf, retained,
]  # fmt: skip
