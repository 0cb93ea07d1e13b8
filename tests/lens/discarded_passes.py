"""Programs that zero .grad because a pass was for something else. Each trains one step."""

from __future__ import annotations

import warnings

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.lens.surgery import PARTS, Case, Training, combined, mean, of


def looks_first(t: Training, x: Tensor, y: Tensor, clip: float | None = None) -> None:
    """The gradient of each loss is looked at before that of the weighted total steps, as in GradNorm."""
    out = t.model(x)
    each = F.cross_entropy(out, y, reduction="none") / len(y)
    losses = [of(ids, each, y).sum() for ids in PARTS]
    for loss in losses:
        t.backward(loss, y, out)
    t.backward(losses[0] + 0.5 * losses[1], y, out, retain=False)
    if clip is not None:
        nn.utils.clip_grad_value_(t.params, clip)
    t.step()


def looks_first_and_clips_values(t: Training, x: Tensor, y: Tensor) -> None:
    looks_first(t, x, y, 0.01)


def uneven(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    each = mean(model, x, y)
    return of(PARTS[0], each, y) + 0.5 * of(PARTS[1], each, y)


def runs_twice(t: Training, x: Tensor, y: Tensor) -> None:
    out = t.model(x)
    loss = F.cross_entropy(out, y)
    t.backward(loss, y, out)
    t.backward(loss, y, out, retain=False)
    nn.utils.clip_grad_value_(t.params, 0.01)
    t.step()


def half_first(t: Training, x: Tensor, y: Tensor) -> None:
    out = t.model(x)
    each = F.cross_entropy(out, y, reduction="none") / len(y)
    t.backward(of(PARTS[0], each, y).sum(), y, out)
    t.backward(each.sum(), y, out, retain=False)
    nn.utils.clip_grad_norm_(t.params, 0.01)
    t.step()


def skipped(t: Training, x: Tensor, y: Tensor) -> None:
    """Another batch's gradient overflowed."""
    for some, labels in ((x.flip(1), y), (x, y)):
        out = t.model(some)
        t.backward(F.cross_entropy(out, labels), labels, out, retain=False)
    nn.utils.clip_grad_value_(t.params, 0.01)
    t.step()


def sam(t: Training, x: Tensor, y: Tensor, surrogate: float = 0.0, data: bool = False) -> None:
    """Moves the weights by a fixed vector, so that the oracle can; part of the first gradient may be taken off (GSAM)."""
    out = t.model(x)
    first = t.backward(F.cross_entropy(out, y), y, out, retain=False)
    moves = moves_of(t.model)
    with torch.no_grad():
        for p, move in zip(t.params, moves, strict=True):
            (p.data if data else p).add_(move)
    out = t.model(x)
    second = t.backward(F.cross_entropy(out, y), y, out, retain=False)
    with torch.no_grad():
        for p, move in zip(t.params, moves, strict=True):
            (p.data if data else p).sub_(move)
    t.step(combined([first, second], (-surrogate, 1.0)))


def sam_of_data(t: Training, x: Tensor, y: Tensor) -> None:
    sam(t, x, y, data=True)


def surrogate_gap(t: Training, x: Tensor, y: Tensor) -> None:
    sam(t, x, y, surrogate=0.3)


def surrogate_gap_of_data(t: Training, x: Tensor, y: Tensor) -> None:
    sam(t, x, y, surrogate=0.3, data=True)


def moves_of(model: nn.Module) -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [0.1 * torch.randn(p.shape, generator=generator).to(p.dtype) for p in model.parameters()]


def moved(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    named = {name: p + move for (name, p), move in zip(model.named_parameters(), moves_of(model), strict=True)}
    out = torch.func.functional_call(model, named, (x,))
    return F.cross_entropy(out, y, reduction="none") / len(y)


def reference_batch(t: Training, x: Tensor, y: Tensor) -> None:
    """A-GEM: what conflicts with the gradient of other samples is taken off."""
    out = t.model(x.flip(1))
    kept = t.backward(F.cross_entropy(out, y.flip(0)), y.flip(0), out, retain=False)
    out = t.model(x)
    own = t.backward(F.cross_entropy(out, y), y, out, retain=False)
    t.step(combined([own, kept], (1.0, -0.4)))


def penalised_gradient(t: Training, x: Tensor, y: Tensor) -> None:
    """The first pass is differentiated again; only the last one steps."""
    out = t.model(x)
    loss = F.cross_entropy(out, y)
    t.optimizer.zero_grad()

    def first() -> None:
        torch.autograd.backward(loss, create_graph=True)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch warns of a cycle
        first() if t.lens is None else t.lens.rest_backward(loss, backward=first)
    (0 * sum(p.grad.sum() for p in t.params if p.grad is not None)).item()
    for p in t.params:
        p.grad = None
    t.backward(loss, y, out, retain=False)
    t.step()


CASES = [
    Case(looks_first, uneven),
    Case(looks_first_and_clips_values, uneven, says=True),
    Case(runs_twice, says=True),
    Case(half_first),
    Case(skipped, says=True),
    Case(sam, moved),
    Case(sam_of_data, moved),
    Case(surrogate_gap, moved, says=True),
    Case(surrogate_gap_of_data, moved, says=True),
    Case(reference_batch, says=True),
    Case(penalised_gradient),
]
