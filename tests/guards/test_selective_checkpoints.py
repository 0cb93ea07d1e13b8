"""Own backward passes over a checkpoint that allows one pass leave it to the training's pass."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import CheckpointPolicy, checkpoint, create_selective_checkpoint_contexts

from gradlens.guards.own_pass import OwnPass
from gradlens.guards.selective_checkpoints import keep


def products_saved(context, operation, *args, **kwargs):
    save = operation is torch.ops.aten.addmm.default
    return CheckpointPolicy.MUST_SAVE if save else CheckpointPolicy.PREFER_RECOMPUTE


def products_recomputed(context, operation, *args, **kwargs):
    """Views of the weights are saved, too."""
    again = operation is torch.ops.aten.addmm.default
    return CheckpointPolicy.MUST_RECOMPUTE if again else CheckpointPolicy.MUST_SAVE


def selective(policy):
    return {"context_fn": partial(create_selective_checkpoint_contexts, policy)}


def loss_of(model: nn.Module, x: torch.Tensor, **how) -> torch.Tensor:
    return checkpoint(model, x, use_reentrant=False, **(how or selective(products_saved))).square().sum()


@pytest.mark.parametrize(
    "how",
    [selective(products_saved), selective(products_recomputed), {"debug": True}],
    ids=["products saved", "products recomputed", "debug"],
)
def test_own_passes_give_the_gradient_and_so_does_the_training_after_them(how):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    with torch.no_grad():
        model[2].weight.mul_(2)  # its version is not 0
    x = torch.randn(5, 3)
    truth = torch.autograd.grad(model(x).square().sum(), list(model.parameters()))
    end = keep()
    try:
        loss = loss_of(model, x, **how)
        for _ in range(2):
            with OwnPass():
                own = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
            assert all(map(torch.equal, own, truth))
        loss.backward()
    finally:
        end()
    assert all(torch.equal(param.grad, gradient) for param, gradient in zip(model.parameters(), truth, strict=True))


def test_torch_still_refuses_a_second_pass_of_the_script():
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(5, 3)
    end = keep()
    try:
        loss = loss_of(model, x)
        loss.backward(retain_graph=True)
        with pytest.raises(RuntimeError):
            loss.backward()
    finally:
        end()
