"""torch's linear_cross_entropy in chunks says what of it is measured, with a line that can be followed."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradlens
from gradlens.runlog import Run
from gradlens.tracking.launch.ending import why_nothing
from tests.tracking.in_process import said

pytestmark = pytest.mark.skipif(
    not hasattr(nn, "LinearCrossEntropyLoss"), reason="this torch has no linear_cross_entropy"
)
LINE = "the weights inside a linear_cross_entropy with chunks have no gradient of a group"


def train(chunk, observe, *, beside=False):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(12, 16), nn.ReLU())
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=chunk) if chunk else None
    head = nn.LinearCrossEntropyLoss(16, 4, bias=True, options=options)
    aux = nn.Linear(16, 4)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters(), *aux.parameters()], 0.1)
    for _ in range(3):
        x, y = torch.randn(32, 12), torch.randint(0, 4, (32,))
        h = body(x)
        if observe:
            gradlens.observe(h, y)
        optimizer.zero_grad()
        loss = head(h, y) + 0.3 * F.cross_entropy(aux(h), y) if beside else head(h, y)
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("observe", [False, True])
def test_beside_a_loss_that_is_measured_it_is_the_cause_of_rest(start, tmp_path, observe):
    tracker = start(every=1, groups="a=0-1,b=2-3")
    train(8, observe, beside=True)

    assert [LINE in line for line in said()].count(True) == 1
    tracker.lens.close()
    run = Run(tmp_path / "run")
    assert (run.norm("rest") > 0).all()


@pytest.mark.parametrize("groups", ["a=0-1,b=2-3", "per-class"])
def test_its_weight_tells_how_many_classes_there_are(start, tmp_path, groups):
    """Not the width of the embedding that the script names."""
    tracker = start(every=1, groups=groups)
    train(8, observe=True)

    assert any("of 4 classes (" in line for line in said())
    tracker.lens.close()
    assert Run(tmp_path / "run").groups.num_classes == 4


@pytest.mark.parametrize("observe", [False, True])
def test_a_loss_in_chunks_says_that_its_weights_are_rest(start, tmp_path, observe):
    tracker = start(every=1, groups="a=0-1,b=2-3")
    train(8, observe)

    assert [line for line in said() if LINE in line]
    if not observe:
        assert why_nothing(tracker, "finished").startswith(f"nothing was measured: {LINE}")
        return
    tracker.lens.close()
    assert (Run(tmp_path / "run").norm("rest") > 0).all()


def test_the_advice_works(start, tmp_path):
    tracker = start(every=1, groups="a=0-1,b=2-3")
    train(None, observe=False)

    assert not [line for line in said() if LINE in line]
    tracker.lens.close()
    run = Run(tmp_path / "run")
    assert len(run) >= 2
    assert np.nan_to_num(run.norm("rest")).max() < 1e-6 * run.norm("all").max()
    assert run.residual.max() < 1e-5


def sums_of(grads):
    return [sum(float((a * b).sum()) for a, b in zip(x, y, strict=True)) for x in grads for y in grads]


@pytest.mark.parametrize("ignored", [-100, 3])
def test_losses_of_rows_in_chunks_are_measured_with_the_head(start, tmp_path, ignored):
    """reduction="none": each group's gradient by itself, in float64, from logits written out."""
    torch.manual_seed(0)
    model = nn.ModuleDict(
        {"body": nn.Sequential(nn.Linear(12, 16), nn.ReLU()), "head": nn.Linear(16, 4, bias=False)}
    ).double()
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=8)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    tracker = start(every=1, groups="a=0-1,b=2")
    seen = []
    for _ in range(3):
        x, y = torch.randn(32, 12).double(), torch.randint(0, 4, (32,))
        y = torch.where(y == 3, ignored, y)
        kept = y != ignored
        seen.append((x, y, kept, copy.deepcopy(model)))
        optimizer.zero_grad()
        losses = F.linear_cross_entropy(
            model["body"](x), model["head"].weight, y, reduction="none", ignore_index=ignored, options=options
        )
        (losses.sum() / kept.sum()).backward()
        optimizer.step()

    assert not [line for line in said() if LINE in line]
    tracker.lens.close()
    run = Run(tmp_path / "run")
    assert run.steps.tolist() == [1, 2]  # split refuses it in the first step, and masked measures the others
    for row, (x, y, kept, then) in enumerate(seen[1:]):
        params = list(then.parameters())
        each = -then["head"](then["body"](x)).log_softmax(1)[torch.arange(32), y.clamp(min=0)] / kept.sum()
        parts = [(each * mask).sum() for mask in (kept & (y < 2), kept & (y == 2))]
        truth = sums_of([torch.autograd.grad(part, params, retain_graph=True) for part in parts])
        np.testing.assert_allclose(run.gram()[row, :2, :2].flatten(), truth, rtol=1e-9)


def test_a_fused_loss_of_a_library_is_named_and_left_alone(start):
    """Like Liger's: the gradients of the forward pass, written over in the backward pass."""

    class Fused(torch.autograd.Function):
        @staticmethod
        def forward(ctx, h, weight, y):
            with torch.enable_grad():
                h, weight = h.detach().requires_grad_(), weight.detach().requires_grad_()
                loss = -(h @ weight.T).log_softmax(1)[torch.arange(len(y)), y].mean()
            ctx.found = [g.clone() for g in torch.autograd.grad(loss, [h, weight])]
            return loss.detach()

        @staticmethod
        def backward(ctx, gradient):
            return ctx.found[0].mul_(gradient), ctx.found[1].mul_(gradient), None

    Fused.__module__ = "liger_kernel.ops.fused_linear_cross_entropy"
    body, head = nn.Linear(6, 4), nn.Linear(4, 3)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters()], 0.1)
    tracker = start(every=1, groups="a=0,b=1-2")
    for _ in range(3):
        optimizer.zero_grad()
        Fused.apply(body(torch.randn(8, 6)), head.weight, torch.randint(0, 3, (8,))).backward()
        optimizer.step()

    assert tracker.lens is None
    assert "Liger's kernels" in why_nothing(tracker, "finished")
