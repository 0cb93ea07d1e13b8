"""Programs that combine the gradients of several backward passes with .grad zeroed between them. Each trains one step."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.engines.zoo import CLASSES
from tests.lens.surgery import PARTS, THREE, Case, Training, by_classes, combined, mean, of, projected


def pcgrad(t: Training, x: Tensor, y: Tensor) -> None:
    t.step(projected(by_classes(t, x, y)))


def pcgrad_zeroed_in_place(t: Training, x: Tensor, y: Tensor) -> None:
    t.to_none = False
    pcgrad(t, x, y)


def pcgrad_of_three(t: Training, x: Tensor, y: Tensor) -> None:
    t.step(projected(by_classes(t, x, y, THREE)))


def summed(t: Training, x: Tensor, y: Tensor) -> None:
    t.step(combined(by_classes(t, x, y), (1, 1)))


def weighted(t: Training, x: Tensor, y: Tensor) -> None:
    """As MGDA, CAGrad and others do."""
    t.step(combined(by_classes(t, x, y, THREE), (0.02, 0.9, 0.08)))


def clipped_after(t: Training, x: Tensor, y: Tensor) -> None:
    for p, g in zip(t.params, projected(by_classes(t, x, y)), strict=True):
        p.grad = g.clone()
    nn.utils.clip_grad_norm_(t.params, 0.01)
    t.step()


def layer_by_layer(t: Training, x: Tensor, y: Tensor) -> None:
    passes = by_classes(t, x, y)
    t.step([projected([[a], [b]])[0] for a, b in zip(*passes, strict=True)])


def ten_passes(t: Training, x: Tensor, y: Tensor) -> None:
    t.step(combined(by_classes(t, x, y, [[c] for c in range(CLASSES)]), [0.1 * (c + 1) for c in range(CLASSES)]))


def forward_passes_of_their_own(t: Training, x: Tensor, y: Tensor) -> None:
    passes = []
    for ids in PARTS:
        out = t.model(x)
        each = F.cross_entropy(out, y, reduction="none") / len(y)
        passes.append(t.backward(of(ids, each, y).sum(), y, out, retain=False))
    t.step(projected(passes))


def rows_of_their_own(t: Training, x: Tensor, y: Tensor) -> None:
    """Each loss has its own rows of one forward pass."""
    out, passes = t.model(x), []
    for ids in PARTS:
        inside = torch.isin(y, torch.tensor(ids))
        some = out[inside]
        passes.append(t.backward(F.cross_entropy(some, y[inside], reduction="sum") / len(y), y[inside], some))
    t.step(projected(passes))


def averaged_by_hand(t: Training, x: Tensor, y: Tensor) -> None:
    """Micro-batches whose gradients the script adds up itself."""
    passes = [
        t.backward(F.cross_entropy(out := t.model(some), labels), labels, out, retain=False)
        for some, labels in zip(x.chunk(3), y.chunk(3), strict=True)
    ]
    t.step(combined(passes, (1 / 3,) * 3))


def kept_without_copies(t: Training, x: Tensor, y: Tensor) -> None:
    """The script keeps the first pass's very tensors and adds the second's to them."""
    out = t.model(x)
    each = F.cross_entropy(out, y, reduction="none") / len(y)
    t.backward(of(PARTS[0], each, y).sum(), y, out)
    kept = {p: p.grad for p in t.params}
    t.backward(of(PARTS[1], each, y).sum(), y, out)
    for p in t.params:
        if p.grad is not None:
            p.grad = kept[p].add_(p.grad, alpha=1.5)
    t.step()


def shared_parameters_only(t: Training, x: Tensor, y: Tensor) -> None:
    """As LibMTL: heads add up, the trunk is zeroed in place after each pass and gets the projection."""
    features = t.model.trunk(x)
    shared, passes = list(t.model.trunk.parameters()), []
    for head, factor in ((t.model.head, 1.0), (t.model.other, 0.7)):
        out = head(features)
        t.added(factor * F.cross_entropy(out, y), y, out)
        passes.append([p.grad.clone() for p in shared])
        for p in shared:
            p.grad.zero_()
    for p, g in zip(shared, projected(passes), strict=True):
        p.grad = g.clone()
    t.step()


def two_heads(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    h = model.trunk(x)
    first, second = (F.cross_entropy(head(h), y, reduction="none") for head in (model.head, model.other))
    return (first + 0.7 * second) / len(y)


def over_micro_batches(t: Training, x: Tensor, y: Tensor) -> None:
    """Two losses of each of two micro-batches, projected when all are there."""
    passes = []
    for some, labels in zip(x.chunk(2), y.chunk(2), strict=True):
        out = t.model(some)
        each = F.cross_entropy(out, labels, reduction="none") / len(y)
        passes.append([t.backward(of(ids, each, labels).sum(), labels, out) for ids in PARTS])
    t.step(projected([combined(both, (1, 1)) for both in zip(*passes, strict=True)]))


def with_a_penalty(t: Training, x: Tensor, y: Tensor) -> None:
    passes = by_classes(t, x, y)
    t.optimizer.zero_grad()
    penalty = 1e-2 * sum(p.square().sum() for p in t.params)
    penalty.backward() if t.lens is None else t.lens.rest_backward(penalty, backward=penalty.backward)
    t.step(projected([*passes, [p.grad.clone() for p in t.params]]))


CASES = [
    Case(pcgrad, says=None),
    Case(pcgrad_zeroed_in_place, says=None),
    Case(pcgrad_of_three, says=None),
    Case(summed),
    Case(weighted, says=True),
    Case(clipped_after, says=None),
    Case(layer_by_layer, says=None),
    Case(ten_passes, says=True),
    Case(forward_passes_of_their_own, says=None, times=2),
    Case(rows_of_their_own, says=None),
    Case(averaged_by_hand, lambda model, x, y: 3 * mean(model, x, y)),
    Case(kept_without_copies, says=True),
    Case(shared_parameters_only, two_heads, says=None),
    Case(over_micro_batches, says=None),
    Case(with_a_penalty, says=None, rest=True),
]
