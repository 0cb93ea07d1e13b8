"""Backward passes that write into memory of their own are refused before they are run a second time."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens
from gradlens.measure.preflight.one_pass import why_once

GROUPS = ClassGroups({"head": [0, 1], "tail": [2, 3]}, num_classes=4)
TARGETS = torch.arange(16) % 4


def replayed(model: nn.Module) -> Any:
    """What torch.cuda.make_graphed_callables does: each backward pass fills the same memory, which ``.grad`` then is.

    It runs without a GPU, and is torch's own class by name and module.
    """
    params = list(model.parameters())
    kept = [torch.zeros_like(param) for param in params]

    class Graphed(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor, *weights: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            with torch.no_grad():
                return model(x)

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
            with torch.enable_grad():
                found = torch.autograd.grad(model(*ctx.saved_tensors), params, gradient)
            for memory, value in zip(kept, found, strict=True):
                memory.copy_(value)
            return None, *(memory.detach() for memory in kept)

    Graphed.__module__ = "torch.cuda.graphs"
    return lambda x: Graphed.apply(x, *params)


def train(measured: bool) -> tuple[list[Tensor], list[str]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))
    graphed, optimizer, said = replayed(model), torch.optim.SGD(model.parameters(), 0.1), []
    lens = Lens(model, GROUPS, optimizer=optimizer, every=1, announce=said.append) if measured else None
    for _ in range(4):
        logits = graphed(torch.randn(16, 6))
        loss = F.cross_entropy(logits, TARGETS)
        loss.backward() if lens is None else lens.backward(loss, TARGETS, outputs=logits)
        optimizer.step()
        optimizer.zero_grad()
    if lens is not None:
        assert lens.last is None
        lens.close()
    return [param.detach().clone() for param in model.parameters()], said


def test_graphed_callables_train_as_without_gradlens() -> None:
    plain, _ = train(measured=False)

    tracked, said = train(measured=True)

    assert all(torch.equal(a, b) for a, b in zip(plain, tracked, strict=True))
    assert "make_graphed_callables" in " ".join(said)


@pytest.mark.parametrize("donated", [True, False])
def test_donated_buffers_are_seen(donated: bool) -> None:
    import torch._functorch.config as config

    torch._dynamo.reset()
    with config.patch(donated_buffer=donated), torch._inductor.config.patch(fx_graph_cache=False):
        compiled = torch.compile(lambda x: (x.relu() * x.sigmoid()).tanh().exp(), backend="aot_eager")
        output = compiled(torch.randn(8, requires_grad=True))
        output.sum().backward()  # compiles the backward pass
        node = compiled(torch.randn(8, requires_grad=True)).grad_fn

    assert (why_once(node) is not None) == donated


@pytest.mark.parametrize(
    ("module", "words"),
    [
        ("liger_kernel.ops.fused_linear_cross_entropy", "Liger's kernels"),
        ("cut_cross_entropy.cce", "Apple's cut cross entropy"),
        ("my_kernels.loss", None),
    ],
)
def test_fused_losses_of_libraries_are_refused_by_name(module: str, words: str | None) -> None:
    class Fused(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.sum()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            return gradient

    Fused.__module__ = module
    why = why_once(Fused.apply(torch.zeros(3, requires_grad=True)).grad_fn)
    assert (why is None) == (words is None)
    assert words is None or words in str(why)
