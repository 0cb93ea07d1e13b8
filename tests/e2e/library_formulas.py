"""What every sample contributes to the losses of ``scripts/library_losses.py``, in float64.

Losses that compare samples are no sum over samples. There the rows of the model's output stand for the samples, by the chain
rule: a row's part is the loss's gradient at the row times the row. For losses that are such sums, it is the same gradient. The
loss itself is the library's, or written out once more where it is short.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

CLASSES = 4


def of_rows(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], tuple[Tensor, Tensor]]:
    """Returns the formula of a loss of outputs [B, D] or [B, C, H, W], and labels."""

    def formula(model, batch):
        out, y = model(batch.inputs[0]), batch.y
        (cotangent,) = torch.autograd.grad(loss(out, y), out, retain_graph=True)
        return (cotangent * out).sum(1).reshape(-1), y.reshape(-1)

    return formula


def of_marks(loss: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Any], tuple[Tensor, Tensor, Tensor]]:
    """Returns the formula of a loss whose samples have several classes: each has an equal part of the sample."""

    def formula(model, batch):
        out, hot = model(batch.inputs[0]), marks(batch.y)
        (cotangent,) = torch.autograd.grad(loss(out, hot), out, retain_graph=True)
        each = hot.sum(1)
        return (cotangent * out).sum(1), hot / each[:, None], each

    return formula


def marks(y: Tensor) -> Tensor:
    """[B, C] zeros and ones, of themselves or of lists of class ids that end with -1."""
    if y.is_floating_point():
        return y.double()
    hot = torch.zeros(y.shape, dtype=torch.float64)
    for row, ids in zip(hot, y, strict=True):
        row[[int(c) for c in ids if c >= 0]] = 1
    return hot


def soft_margin(out, hot):
    return -(hot * F.logsigmoid(out) + (1 - hot) * F.logsigmoid(-out)).mean()


def margin(out, hot):
    total = out.new_zeros(())
    for scores, own in zip(out, hot, strict=True):
        right, wrong = scores[own == 1], scores[own == 0]
        total = total + (1 - (right[:, None] - wrong[None])).clamp(min=0).sum() / len(scores)
    return total / len(out)


def adaptive(model, batch):
    """The log-probability of each class is that of its cluster times that within the cluster."""
    h, y, head = model.body(batch.inputs[0]), batch.inputs[1], model.head
    outer = (h @ head.head.weight.T).log_softmax(1)
    inner = (h @ head.tail[0][0].weight.T @ head.tail[0][1].weight.T).log_softmax(1)
    log_p = torch.cat([outer[:, :2], outer[:, 2:] + inner], 1)
    return -log_p[torch.arange(len(y)), y] / len(y), y


def metric(kind: str, **options: Any) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(out, y):
        from pytorch_metric_learning import losses

        return getattr(losses, kind)(**options)(out, y)

    return loss


def proxies(model, batch):
    """The proxies are parameters of the loss: their gradient belongs to no sample."""
    out, y = model.body(batch.inputs[0]), batch.inputs[1]
    (cotangent,) = torch.autograd.grad(proxy_anchor(model.head.proxies, out, y), out, retain_graph=True)
    return (cotangent * out).sum(1), y


def gradient_of_the_proxies(model, batch):
    return proxy_anchor(model.head.proxies, model.body(batch.inputs[0]).detach(), batch.inputs[1])


def supcon(out, y):
    z = F.normalize(out, dim=1)
    similar = z @ z.T / 0.1
    itself = torch.eye(len(z), dtype=torch.bool)
    log_p = similar - torch.logsumexp(similar.masked_fill(itself, -torch.inf), 1, keepdim=True)
    positive = (y[:, None] == y[None]) & ~itself
    each = (log_p * positive).sum(1) / positive.sum(1).clamp(min=1)
    return -each.sum() / (positive.sum(1) > 0).sum()


def contrastive(out, y):
    z = F.normalize(out, dim=1)
    apart = (z[:, None] - z[None] + torch.eye(len(z))[:, :, None] * 1e-9).norm(dim=2)
    same, itself = y[:, None] == y[None], torch.eye(len(z), dtype=torch.bool)
    near, far = apart[same & ~itself], (1 - apart[~same]).clamp(min=0)
    return near[near > 0].mean() + far[far > 0].mean()


def triplet(out, y):
    z = F.normalize(out, dim=1)
    apart = (z[:, None] - z[None] + torch.eye(len(z))[:, :, None] * 1e-9).norm(dim=2)
    found = [
        apart[a, p] - apart[a, n] + 0.05
        for a in range(len(z))
        for p in range(len(z))
        for n in range(len(z))
        if a != p and y[a] == y[p] and y[a] != y[n]
    ]
    losses = torch.stack(found).clamp(min=0)
    return losses[losses > 0].mean()


def coral(out, y):
    levels = (y[:, None] > torch.arange(CLASSES - 1)).double()
    return -(F.logsigmoid(out) * levels + F.logsigmoid(-out) * (1 - levels)).sum(1).mean()


def corn(out, y):
    total, number = out.new_zeros(()), 0
    for k in range(CLASSES - 1):
        kept = y > k - 1
        above = (y[kept] > k).double()
        total = total - (F.logsigmoid(out[kept, k]) * above + F.logsigmoid(-out[kept, k]) * (1 - above)).sum()
        number += int(kept.sum())
    return total / number


def focal_of_probabilities(out, y):
    right = out[torch.arange(len(y)), y]
    return -((1 - right) ** 2 * (right + 1e-16).log()).mean()


def kornia_focal(out, y):
    """alpha weighs all classes but the first, whose weight is 1 - alpha; the mean is over samples and classes."""
    right = out.softmax(1)[torch.arange(len(y)), y]
    alpha = torch.where(y == 0, 0.75, 0.25)
    return -(alpha * (1 - right) ** 2 * right.log()).sum() / out.numel()


def smp(kind: str, **options: Any) -> Callable[[Tensor, Tensor], Tensor]:
    def loss(out, y):
        from segmentation_models_pytorch import losses

        return getattr(losses, kind)(**options)(out, y)

    return loss


def smp_dice(out, y):
    """1 - 2 |A B| / (|A| + |B|), mean over the classes that are there."""
    p, hot = out.softmax(1), F.one_hot(y, CLASSES).movedim(3, 1).double()
    over = (0, 2, 3)
    score = 2 * (p * hot).sum(over) / (p + hot).sum(over).clamp(min=1e-7)
    return ((1 - score) * (hot.sum(over) > 0)).mean()


def smoothed_pixels(out, y):
    log_p = out.log_softmax(1)
    right = log_p.gather(1, y[:, None])[:, 0]
    return -(0.9 * right + 0.1 / CLASSES * log_p.sum(1)).mean()


def monai_dice(out, y):
    """1 - (2 |A B| + e) / (|A| + |B| + e), mean over images and classes."""
    p, hot = out.softmax(1), F.one_hot(y.squeeze(1), CLASSES).movedim(3, 1).double()
    score = (2 * (p * hot).sum((2, 3)) + 1e-5) / ((p + hot).sum((2, 3)) + 1e-5)
    return (1 - score).mean()


def monai_dice_focal(out, y):
    from monai.losses import DiceFocalLoss

    return DiceFocalLoss(to_onehot_y=True, softmax=True)(out, y)


def proxy_anchor(own: Tensor, out: Tensor, y: Tensor) -> Tensor:
    similar = F.normalize(out, dim=1) @ F.normalize(own, dim=1).T
    hot = F.one_hot(y, CLASSES).bool()
    alpha, delta = 32.0, 0.1
    near = torch.where(hot, -alpha * (similar - delta), -torch.inf)
    far = torch.where(~hot, alpha * (similar + delta), -torch.inf)
    there = hot.any(0)
    pull = torch.stack(
        [torch.logsumexp(torch.cat([near[:, c], near.new_zeros(1)]), 0) for c in range(CLASSES) if there[c]]
    )
    push = torch.stack([torch.logsumexp(torch.cat([far[:, c], far.new_zeros(1)]), 0) for c in range(CLASSES)])
    return pull.mean() + push.mean()
