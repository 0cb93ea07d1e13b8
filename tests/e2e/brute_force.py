"""Runs a training script and writes the Gram matrices of its group gradients, computed with nothing of gradlens.

python brute_force.py GROUPS SCRIPT [ARGS]: GROUPS is "0,1;2,3", or "backward:0,1;2,3" where each backward pass ends a step,
because the optimizer is none of torch's. Every cross-entropy of a backward pass is computed again for the
samples of each group alone, scaled as the script's loss scales it, and differentiated on its own. Several processes average
their gradients, as DistributedDataParallel does. ``rest`` is what the script's own gradient holds besides.
"""

import os
import runpy
import sys

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.optim.optimizer import register_optimizer_step_post_hook

ends, _, ids_of_groups = sys.argv[1].rpartition(":")
groups = [torch.tensor([int(c) for c in ids.split(",")]) for ids in ids_of_groups.split(";")]
calls = []
nested = []
vectors = {}
totals = {}
found = []
samples = torch.zeros(2, len(groups))  # how many, and how many were guessed
scores = []

cross_entropy, backward = F.cross_entropy, Tensor.backward


def noted(input, target, *args, **kwargs):  # noqa: A002  torch names them so
    outer = not nested
    nested.append(None)  # a subclass of Tensor has torch call this again
    try:
        loss = cross_entropy(input, target, *args, **kwargs)
    finally:
        nested.pop()
    if outer and loss.requires_grad:
        calls.append((input, target, loss, args, kwargs))
    return loss


def leaves(root):
    waiting, seen, variables = [root.grad_fn], set(), {}
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            variables[id(variable)] = variable
        waiting += [child for child, _ in node.next_functions]
    return list(variables.values())


def measured(self, *args, **kwargs):
    params = leaves(self)
    for logits, labels, loss, given, named in calls:
        scale = torch.autograd.grad(self, loss, retain_graph=True, allow_unused=True)[0]
        if scale is None:
            continue
        summed = named.get("reduction", "mean") == "sum"
        count = 1 if summed else (labels != named.get("ignore_index", -100)).sum()
        hits = logits.argmax(1) == labels
        for k, ids in enumerate(groups):
            inside = torch.isin(labels, ids)
            samples[:, k] += torch.stack([inside.sum(), (inside & hits).sum()])
            each = cross_entropy(logits, labels, *given, **{**named, "reduction": "none"})
            part = (each * inside * scale).sum() / (count if scale.dim() == 0 else 1)
            for param, gradient in zip(
                params, torch.autograd.grad(part, params, retain_graph=True, allow_unused=True), strict=True
            ):
                if gradient is not None:
                    own = vectors.setdefault(param, torch.zeros(len(groups), *param.shape, dtype=torch.float64))
                    own[k] += gradient.double()
    calls.clear()
    backward(self, *args, **kwargs)
    for param in params:
        if param.grad is not None:
            totals[param] = param.grad.detach().double().clone()
    if ends == "backward" and vectors:  # a subclass of Tensor calls this twice
        ended(list(totals))


def stepped(optimizer, *_):
    if any(isinstance(held, torch.optim.Optimizer) for held in vars(optimizer).values()) or not vectors:
        return
    ended([p for group in optimizer.param_groups for p in group["params"] if p in totals])


def ended(params):
    rows = []
    for param in params:
        own = vectors.get(param, torch.zeros(len(groups), *param.shape, dtype=torch.float64))
        if dist.is_initialized():
            dist.all_reduce(own)
            own /= dist.get_world_size()
        rest = totals[param] - own.sum(0)
        rows.append(torch.cat([own, rest[None]]).reshape(len(groups) + 1, -1))
    flat = torch.cat(rows, 1)
    found.append(flat @ flat.T)
    scores.append(samples.clone())
    samples.zero_()
    vectors.clear()
    totals.clear()


F.cross_entropy = noted
torch.nn.functional.cross_entropy = noted
Tensor.backward = measured
if ends != "backward":
    register_optimizer_step_post_hook(stepped)
sys.argv = sys.argv[2:]
sys.path[0] = os.path.dirname(os.path.abspath(sys.argv[0]))
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    if os.environ.get("RANK", "0") == "0":
        torch.save(torch.stack(found), "grams.pt")
        torch.save(torch.stack(scores), "scores.pt")
