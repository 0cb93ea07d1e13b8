"""Other ways to get the gradient of each group: by hand, with torch.func, and with other packages where they are installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

import torch
import torch.nn.functional as F
from gpu.precision import autocast
from gpu.training import Step, Training
from overhead.cases import Setup
from overhead.methods import Refusal
from overhead.peers import PEERS as PACKAGED
from torch import Tensor

from gradlens import ClassGroups

# Name of each method of overhead/peers.py that needs a package: the package. They have no autocast and no labels of tokens.
PACKAGES = {
    "Opacus, GradSampleModule": "opacus",
    "BackPACK, BatchGrad": "backpack",
    "TorchJD, autojac": "torchjd",
    "TorchJD, autogram": "torchjd",
}
Peer = Callable[[Training, ClassGroups], Step]


def present_masks(training: Training, groups: ClassGroups) -> list[Tensor]:
    """Returns for each group in the batch a mask over the rows, in the shape of the labels.

    The masks of all groups add up to 1 / rows, so the masked losses add up to the mean loss.
    """
    table = torch.from_numpy(groups.of_class()).to(training.device)[training.labels]
    return [(table == k) / table.numel() for k in table.unique().tolist()]


def by_hand(training: Training, groups: ClassGroups) -> Step:
    """Returns a step with one forward pass, and a backward pass for each group in the batch."""
    masks = present_masks(training, groups)
    params = list(training.model.parameters())

    def step() -> None:
        training.optimizer.zero_grad()
        with autocast(training.case.precision, training.device):
            rows = training.rows(training.model(training.inputs))
        for number, mask in enumerate(masks):
            last = number + 1 == len(masks)
            found = torch.autograd.grad((rows * mask).sum(), params, retain_graph=not last)
            for param, gradient in zip(params, found, strict=True):
                param.grad = gradient if param.grad is None else param.grad + gradient
        training.optimizer.step()

    return step


def func_by_group(training: Training, groups: ClassGroups) -> Step:
    """Returns a step with ``torch.func``: one forward pass, and all groups' cotangents pulled back by ``vmap(vjp)``."""
    masks = torch.stack(present_masks(training, groups))  # [K, ...]
    model = training.model

    def rows_of(params: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        # The transform must not change a tensor from outside, so BatchNorm writes into copies.
        buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
        with autocast(training.case.precision, training.device):
            output = torch.func.functional_call(model, (params, buffers), (training.inputs,))
            return training.rows(output), buffers

    def step() -> None:
        params = {name: param.detach() for name, param in model.named_parameters()}
        rows, pull, buffers = torch.func.vjp(rows_of, params, has_aux=True)
        (found,) = torch.func.vmap(pull)(masks.to(rows.dtype))
        with torch.no_grad():
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
        for name, param in model.named_parameters():
            param.grad = found[name].sum(0)
        training.optimizer.step()

    return step


def func_by_sample(training: Training, groups: ClassGroups) -> Step:
    """Returns a step with ``torch.func.vmap(grad)``: each sample runs by itself, and its gradient is added to its group's."""
    if training.case.per_token:
        raise Refusal("a sample's tokens belong to several groups")
    masks = torch.stack(present_masks(training, groups))  # [K, B]
    model = training.model
    buffers = dict(model.named_buffers())

    def loss_of(params: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        with autocast(training.case.precision, training.device):
            logits = torch.func.functional_call(model, (params, buffers), (image.unsqueeze(0),))
            return F.cross_entropy(logits, label.unsqueeze(0))

    each = torch.func.vmap(torch.func.grad(loss_of), (None, 0, 0), randomness="different")

    def step() -> None:
        params = {name: param.detach() for name, param in model.named_parameters()}
        found = each(params, training.inputs, training.labels)
        for name, param in model.named_parameters():
            of_groups = masks.to(param.dtype) @ found.pop(name).reshape(masks.shape[1], -1)  # [K, n]
            param.grad = of_groups.sum(0).view_as(param)
        training.optimizer.step()

    return step


def packaged(name: str) -> Peer:
    """Returns a method of ``overhead/peers.py``."""

    def peer(training: Training, groups: ClassGroups) -> Step:
        if importlib.util.find_spec(PACKAGES[name]) is None:
            raise Refusal("not installed")
        if training.case.per_token or training.case.precision != "default":
            raise Refusal("compared in float32 only, with one label for each sample")
        masks = torch.stack([(mask > 0).float() for mask in present_masks(training, groups)])
        return PACKAGED[name](Setup(training.model, training.optimizer, training.inputs, training.labels, masks))

    return peer


# Their cost grows with the number of groups.
BY_GROUP: dict[str, Peer] = {"by hand": by_hand, "torch.func by group": func_by_group}
PEERS: dict[str, Peer] = BY_GROUP | {
    "torch.func by sample": func_by_sample,
    **{name: packaged(name) for name in PACKAGES},
}
