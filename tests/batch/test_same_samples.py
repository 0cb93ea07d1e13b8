"""Samples of a step are counted once, however many losses of theirs are differentiated, and each batch that is accumulated is."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens.autograd.inner_products import Layout
from gradlens.batch.rows import group_rows
from gradlens.engines import EngineSwitch
from gradlens.measure.meter import StepMeter
from gradlens.measure.processes import SingleProcess
from gradlens.metrics.measurement import Measurement
from tests.engines.zoo import CLASSES, GROUPS
from tests.lens.oracle import apart, gradient, gram

Pass = tuple[Tensor, Tensor, Tensor, bool]  # loss, anchor, labels, whether the graph is retained
Steps = Callable[["Net"], Iterator[Pass]]

X = torch.randn(12, 5, generator=torch.Generator().manual_seed(3))
OTHER = torch.randn(12, 5, generator=torch.Generator().manual_seed(4))
Y = torch.arange(12) % CLASSES
SWAPPED = Y.flip(0)


class Net(nn.Module):
    """Two heads on a trunk whose second weight is computed from parameters."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(5, 7), nn.Tanh())
        self.scale = nn.Parameter(torch.ones(12, 1))
        self.middle = nn.Linear(7, 12)
        self.heads = nn.ModuleList([nn.Linear(12, CLASSES), nn.Linear(12, CLASSES)])

    def weight(self) -> Tensor:
        return self.scale * F.normalize(self.middle.weight, dim=1)  # [12, 7]: as many rows as a batch

    def features(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        return torch.tanh(F.linear(self.trunk(x), self.weight() if weight is None else weight, self.middle.bias))

    def forward(self, x: Tensor) -> Tensor:
        return self.heads[0](self.features(x))


def two_losses(net: Net) -> Iterator[Pass]:
    out = net(X)
    yield F.cross_entropy(out, Y), out, Y, True
    yield 0.3 * F.cross_entropy(out, Y, label_smoothing=0.2), out, Y.clone(), False


def three_losses_of_one(net: Net) -> Iterator[Pass]:
    out = net(X)
    yield F.cross_entropy(out, Y), out, Y, True
    yield 0.2 * F.multi_margin_loss(out, Y), out, Y, True
    shifted = out - 0.1
    yield F.cross_entropy(shifted, Y), shifted, Y, False


def two_heads(net: Net) -> Iterator[Pass]:
    h = net.features(X)
    first, second = net.heads[0](h), net.heads[1](h)
    yield F.cross_entropy(first, Y), first, Y, True
    yield 0.4 * F.cross_entropy(second, Y), second, Y, False


def two_batches_of_the_same_labels(net: Net) -> Iterator[Pass]:
    for x in (X, OTHER):
        out = net(x)
        yield F.cross_entropy(out, Y), out, Y, False


def two_batches_retained(net: Net) -> Iterator[Pass]:
    first, second = net(X), net(OTHER)
    yield F.cross_entropy(first, Y), first, Y, True
    yield F.cross_entropy(second, Y), second, Y, True


def one_forward_in_two_parts(net: Net) -> Iterator[Pass]:
    first, second = net(torch.cat([X, OTHER])).chunk(2)
    yield F.cross_entropy(first, Y), first, Y, True
    yield F.cross_entropy(second, Y), second, Y, False


def two_batches_and_a_weight_computed_once(net: Net) -> Iterator[Pass]:
    weight = net.weight()  # as many rows as a batch
    for x in (X, OTHER):
        out = net.heads[0](net.features(x, weight))
        yield F.cross_entropy(out, Y), out, Y, True


def other_labels(net: Net) -> Iterator[Pass]:
    out = net(X)
    yield 0.7 * F.cross_entropy(out, Y), out, Y, True
    yield 0.3 * F.cross_entropy(out, SWAPPED), out, SWAPPED, False


def interleaved(net: Net) -> Iterator[Pass]:
    for x in (X, OTHER):
        out = net(x)
        yield F.cross_entropy(out, Y), out, Y, True
        yield 0.5 * F.cross_entropy(2 * out, Y), out, Y, False


# How often the 12 samples of the labels count.
CASES: list[tuple[Steps, int]] = [
    (two_losses, 1),
    (three_losses_of_one, 1),
    (two_heads, 1),
    (two_batches_of_the_same_labels, 2),
    (two_batches_retained, 2),
    (one_forward_in_two_parts, 2),
    (two_batches_and_a_weight_computed_once, 2),
    (other_labels, 2),
    (interleaved, 2),
]


def measured(net: Net, steps: Steps) -> tuple[Measurement, float]:
    layout = Layout.of(net)
    meter = StepMeter(layout, GROUPS, 1, EngineSwitch("masked", net, layout.params, lambda *_: None), SingleProcess())
    total = 0.0
    for loss, anchor, labels, retained in steps(net):
        rows = group_rows(labels, GROUPS, anchor)
        meter.measure(
            [loss],
            [anchor],
            labels,
            rows,
            lambda loss=loss, kept=retained: loss.backward(retain_graph=kept),
            check=True,
        )
        total += loss.item()
    meter.hold(keep=False)
    pending = meter.finish()
    assert pending is not None
    return pending.result(), total


@pytest.mark.parametrize(("steps", "times"), CASES, ids=[steps.__name__ for steps, _ in CASES])
def test_samples_count_once_for_each_time_they_pass_forward(steps: Steps, times: int) -> None:
    net = Net()
    passes = list(steps(net))
    counted = passes[:1] if times == 1 else [passes[0], passes[2 if steps is interleaved else 1]]
    found, total = measured(Net(), steps)

    sizes = [sum((labels == c).sum().item() for _, _, labels, _ in counted for c in ids) for ids in GROUPS.classes]
    losses = [
        sum(
            -float(anchor.detach().double().log_softmax(1)[row, c])
            for _, anchor, labels, _ in counted
            for row, c in enumerate(labels.tolist())
            if c in ids
        )
        for ids in GROUPS.classes
    ]
    right = [
        sum(
            int(anchor.argmax(1)[row] == c)
            for _, anchor, labels, _ in counted
            for row, c in enumerate(labels.tolist())
            if c in ids
        )
        for ids in GROUPS.classes
    ]
    assert found.counts.tolist() == sizes
    np.testing.assert_allclose(found.loss, losses, rtol=1e-5)
    assert found.correct.tolist() == right
    assert found.total_loss == pytest.approx(total, rel=1e-5)
    assert found.residual < 1e-5


def test_contributions_are_those_of_all_losses() -> None:
    found, _ = measured(Net(), two_losses)

    def of_group(ids: tuple[int, ...]) -> Callable[[nn.Module], Tensor]:
        def scalar(net: nn.Module) -> Tensor:
            out = net(X.double())
            inside = torch.isin(Y, torch.tensor(ids))
            plain = F.cross_entropy(out, Y, reduction="none")
            smooth = F.cross_entropy(out, Y, reduction="none", label_smoothing=0.2)
            return ((plain + 0.3 * smooth) * inside).sum() / len(Y)

        return scalar

    truth = gram([gradient(Net(), of_group(ids)) for ids in GROUPS.classes])
    k = len(GROUPS)
    assert apart(found.layers.sum(0)[:k, :k], truth) < 1e-5
