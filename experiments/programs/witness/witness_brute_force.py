"""Computes the gradients of the groups by brute force, without gradlens: a loss and a backward pass for each group.

It uses the same graph and the same precision as the program. Before each backward pass of the program it computes every
``cross_entropy`` and ``nll_loss`` in the graph again, for the samples of each group alone. It scales them as the program's loss
does, and runs a backward pass. The rest is the program's gradient minus the gradients of the groups.
"""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

ORDINARY = {"cross_entropy": F.cross_entropy, "nll_loss": F.nll_loss}


class BruteForce:
    """Notes the Gram matrices of the group gradients at each optimizer step."""

    def __init__(self, groups: list[list[int]]) -> None:
        self.groups = [torch.tensor(ids, dtype=torch.long) for ids in groups]
        self.calls: list[tuple[Any, ...]] = []
        self.vectors: dict[Tensor, Tensor] = {}
        self.totals: dict[Tensor, Tensor] = {}
        self.counts = torch.zeros(len(groups), dtype=torch.float64)
        self.steps: list[int] = []
        self.grams: list[Tensor] = []
        self.counted: list[Tensor] = []
        self.number = 0

    def noting(self, name: str) -> Callable[..., Tensor]:
        """Returns the loss function of a name, which also notes its calls."""

        def loss_function(scores: Tensor, labels: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            loss: Tensor = ORDINARY[name](scores, labels, *args, **kwargs)
            if loss.requires_grad:
                self.calls.append((name, scores, labels, loss, args, kwargs))
            return loss

        return loss_function

    def differentiated(self, root: Tensor) -> list[Tensor]:
        """Adds the groups' gradients of all noted losses that a backward pass from ``root`` reaches. Returns the parameters."""
        params = leaves(root)
        for name, scores, labels, loss, args, kwargs in self.calls:
            scale = torch.autograd.grad(root, loss, retain_graph=True, allow_unused=True)[0]
            if scale is None:
                continue
            assert not args or args[1:] == (), "positional arguments but the weight"
            reduction, ignored = kwargs.get("reduction", "mean"), kwargs.get("ignore_index", -100)
            weight = args[0] if args else kwargs.get("weight")
            each = ORDINARY[name](scores, labels, *args, **{**kwargs, "reduction": "none"})
            counted = labels != ignored
            parts = counted if weight is None else torch.where(counted, weight[labels.clamp(min=0)], 0)
            over = parts.sum() if reduction == "mean" else 1
            for k, ids in enumerate(self.groups):
                mine = torch.isin(labels, ids) & counted
                self.counts[k] += float(mine.sum())
                if mine.any():
                    self.add(k, params, (each * mine * scale / over).sum())
        self.calls.clear()
        return params

    def add(self, group: int, params: list[Tensor], part: Tensor) -> None:
        """Adds the gradient of a group's part of the loss to the group's gradient."""
        gradients = torch.autograd.grad(part, params, retain_graph=True, allow_unused=True)
        for param, gradient in zip(params, gradients, strict=True):
            if gradient is not None:
                zeros = torch.zeros(len(self.groups), *param.shape, dtype=torch.float64)
                self.vectors.setdefault(param, zeros)[group] += gradient.double()

    def stepped(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002
        """Notes the Gram matrix of a step. torch calls this after each step of each optimizer."""
        if any(isinstance(held, torch.optim.Optimizer) for held in vars(optimizer).values()):
            return
        rows = []
        for param in [p for group in optimizer.param_groups for p in group["params"] if p in self.totals]:
            own = self.vectors.get(param, torch.zeros(len(self.groups), *param.shape, dtype=torch.float64))
            rows.append(torch.cat([own, (self.totals[param] - own.sum(0))[None]]).reshape(len(self.groups) + 1, -1))
        if rows and self.vectors:
            flat = torch.cat(rows, 1)
            self.steps.append(self.number)
            self.grams.append(flat @ flat.T)
            self.counted.append(self.counts)
        self.number += 1
        self.vectors, self.totals, self.counts = {}, {}, torch.zeros_like(self.counts)


def leaves(root: Tensor) -> list[Tensor]:
    """Returns the parameters that a loss depends on."""
    waiting: list[Any] = [root.grad_fn]
    seen: set[Any] = set()
    found: dict[int, Tensor] = {}
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            found[id(variable)] = variable
        waiting += [child for child, _ in node.next_functions]
    return list(found.values())


def watch_losses(folder: str, groups: str) -> None:
    """Begins to note the losses of this process.

    Args:
        folder: Folder for the result, ``truth.pt``.
        groups: JSON with a list of class ids for each group.
    """
    truth = BruteForce(json.loads(groups))
    for name in ORDINARY:
        setattr(F, name, truth.noting(name))
    backward = Tensor.backward

    def measured(self: Tensor, *args: Any, **kwargs: Any) -> None:
        params = truth.differentiated(self)
        backward(self, *args, **kwargs)
        for param in params:
            if param.grad is not None:
                truth.totals[param] = param.grad.detach().double().clone()

    Tensor.backward = measured
    register_optimizer_step_post_hook(truth.stepped)

    def save() -> None:
        found = {"steps": truth.steps, "grams": torch.stack(truth.grams), "counts": torch.stack(truth.counted)}
        torch.save(found, Path(folder) / "truth.pt")

    atexit.register(save)
