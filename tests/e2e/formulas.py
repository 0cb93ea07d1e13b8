"""What every sample contributes to the losses of ``scripts/losses.py`` and the others, written out once more in float64.

Each formula takes the model (in float64), its inputs and what the script drew for this batch, and returns the samples' terms
of the loss, [B], which add up to it, and their labels [B] (-1: of no sample) or class masses [B, C]. Where a sample has several
terms with labels of their own, [N] terms and labels, and third what part of a sample each of them counts as, [N].
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

COUNTS = torch.tensor([36.0, 24.0, 12.0, 8.0], dtype=torch.float64)
MARGINS = 0.5 * (COUNTS.min() / COUNTS) ** 0.25


@dataclass(frozen=True)
class Batch:
    """One forward pass of a script.

    Attributes:
        y: [B] labels.
        permutation: The last permutation of B samples that the script drew, or None.
        lam: The last number that it drew from a beta distribution.
        inputs: Arguments of the model.
    """

    y: Tensor
    permutation: Tensor | None
    lam: float
    inputs: tuple[Any, ...]

    @property
    def hot(self) -> Tensor:
        """[B, C] one-hot labels."""
        return nn.functional.one_hot(self.y.long(), 4).double()


Terms = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor]
Formula = Callable[[nn.Module, Batch], Terms]


def logits_of(model: nn.Module, batch: Batch) -> Tensor:
    out = model(*batch.inputs[:1])
    if isinstance(out, dict):
        return out["logits"]
    if isinstance(out, tuple):
        return out[0]
    return getattr(out, "logits", out)


def ce(logits: Tensor, y: Tensor) -> Tensor:
    """[B] cross-entropies."""
    rows = torch.arange(len(y))
    return logits.exp().sum(1).log() - logits[rows, y.long()]


def soft_ce(logits: Tensor, targets: Tensor) -> Tensor:
    return -(targets * (logits - logits.exp().sum(1, keepdim=True).log())).sum(1)


def mean_ce(model, batch):
    return ce(logits_of(model, batch), batch.y) / len(batch.y), batch.y


def scaled(factor):
    def formula(model, batch):
        terms, labels = mean_ce(model, batch)
        return factor * terms, labels

    return formula


def class_weights(model, batch):
    w = (COUNTS.sum() / COUNTS)[batch.y]
    return w * ce(logits_of(model, batch), batch.y) / w.sum(), batch.y


def smoothed(amount, share=1.0):
    def formula(model, batch):
        targets = (1 - amount) * batch.hot + amount / 4
        return share * soft_ce(logits_of(model, batch), targets) / len(batch.y), batch.y

    return formula


def several_backwards(model, batch):
    first, second = scaled(0.7)(model, batch), smoothed(0.2, 0.3)(model, batch)
    return first[0] + second[0], batch.y


def ignore_index(model, batch):
    y = torch.where(batch.inputs[0][:, 0] > 1.5, -1, batch.y)
    kept = (y >= 0).double()
    return kept * ce(logits_of(model, batch), y.clamp(min=0)) / kept.sum(), y


def reduction_none(model, batch):
    w = 1 / COUNTS[batch.y]
    return w * ce(logits_of(model, batch), batch.y) / w.sum(), batch.y


def reduction_sum(model, batch):
    return ce(logits_of(model, batch), batch.y) / 20, batch.y


def soft_targets(model, batch):
    targets = 0.8 * batch.hot + 0.2 * COUNTS / COUNTS.sum()
    return soft_ce(logits_of(model, batch), targets) / len(batch.y), targets


def mixed(model, batch):
    targets = batch.lam * batch.hot + (1 - batch.lam) * batch.hot[batch.permutation]
    return soft_ce(logits_of(model, batch), targets) / len(batch.y), targets


def two_terms(lam, model, batch):
    """The two loss calls of mixup: one by each label."""
    out, other = logits_of(model, batch), batch.y[batch.permutation]
    share = torch.tensor([lam, 1 - lam], dtype=torch.float64).repeat_interleave(len(out))
    labels = torch.cat([batch.y, other])
    return share * torch.cat([ce(out, batch.y), ce(out, other)]) / len(out), labels, share


def mixed_calls(model, batch):
    return two_terms(batch.lam, model, batch)


def cut_calls(model, batch):
    return two_terms(1 - int(8 * (1 - batch.lam)) / 8, model, batch)


def cut(model, batch):
    lam = 1 - int(8 * (1 - batch.lam)) / 8
    targets = lam * batch.hot + (1 - lam) * batch.hot[batch.permutation]
    return soft_ce(logits_of(model, batch), targets) / len(batch.y), targets


def focal(model, batch):
    losses = ce(logits_of(model, batch), batch.y)
    return (1 - torch.exp(-losses)) ** 2 * losses / len(batch.y), batch.y


def ldam(model, batch):
    shifted = logits_of(model, batch) - batch.hot * MARGINS
    return ce(3 * shifted, batch.y) / len(batch.y), batch.y


def hinge(divisor):
    def formula(model, batch):
        out = logits_of(model, batch)
        right = (out * batch.hot).sum(1, keepdim=True)
        return ((1 + out - right).clamp(min=0) * (1 - batch.hot)).sum(1) / divisor / len(batch.y), batch.y

    return formula


def one_vs_all(model, batch):
    out = logits_of(model, batch)
    losses = (1 + out.exp()).log() - out * batch.hot
    return losses.sum(1) / out.numel(), batch.y


def brier(model, batch):
    p = logits_of(model, batch).softmax(1)
    return (p - batch.hot).square().sum(1) / p.numel(), batch.y


def two_heads(model, batch):
    main, auxiliary = model(*batch.inputs)
    return (ce(main, batch.y) + 0.4 * ce(auxiliary, batch.y)) / len(batch.y), batch.y


def inside(model, batch):
    h = model.body(batch.inputs[0])
    return (ce(model.head(h), batch.y) + 0.3 * ce(model.auxiliary(h), batch.y)) / len(batch.y), batch.y


def dataclass_output(model, batch):
    h = model.body(batch.inputs[0])
    return ce(model.head(h), batch.y) / len(batch.y) + 1e-3 * h.square().sum(1) / h.numel(), batch.y


def logit_adjusted(model, batch):
    return ce(logits_of(model, batch) + torch.log(COUNTS / COUNTS.sum()), batch.y) / len(batch.y), batch.y


def square_rows(model, batch):
    """[B, C, T]: the labels of a place are those of the sample moved on."""
    out = logits_of(model, batch).transpose(1, 2).reshape(-1, 4)  # [B T, C]
    places = ((batch.y[:, None] + torch.arange(4)) % 4).reshape(-1)
    return ce(out, places) / len(places), places


def linear_cross_entropy(model, batch):
    """What is observed are the inputs of the head, so that the head's own gradient is rest."""
    head = model.head.linear
    out = model.body(batch.inputs[0]) @ head.weight.detach().T + head.bias.detach()
    return ce(out, batch.y) / len(batch.y), batch.y


def own_gradient_of_the_head(model, batch):
    out = model.head.linear(model.body(batch.inputs[0]).detach())
    return ce(out, batch.y).mean()


def not_finite(model, batch):
    """Whole batches are NaN: so is each of their groups."""
    terms, labels = mean_ce(model, batch)
    return terms * (torch.nan if labels[0] == 1 else 1.0), labels


def full_batch(model, batch):
    """A fixed part of the samples is trained on."""
    part = torch.rand(len(batch.y), generator=torch.Generator().manual_seed(0)) < 0.95
    return part * ce(logits_of(model, batch), batch.y) / part.sum(), torch.where(part, batch.y, -1)


def contrastive(model, batch):
    """No sum over samples: the rows of the model's output stand for them, by the chain rule."""
    out = logits_of(model, batch)
    z = out / out.norm(dim=1, keepdim=True)
    similar, itself = z @ z.T / 0.5, torch.eye(len(z), dtype=torch.bool)
    logp = similar - torch.logsumexp(similar.masked_fill(itself, -9.0), 1, keepdim=True)
    loss = -logp[(batch.y[:, None] == batch.y[None]) & ~itself].mean()
    (cotangent,) = torch.autograd.grad(loss, out, retain_graph=True)
    return (cotangent * out).sum(1), batch.y


def penalty(model, batch):
    return 1e-2 * sum(p.square().sum() for p in model.parameters() if p.ndim > 1)
