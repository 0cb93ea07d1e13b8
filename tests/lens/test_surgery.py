"""Several backward passes with .grad zeroed between them: whatever the optimizer steps on counts, and nothing else.

Each program trains one step. The oracle are the samples' terms of the losses that must count, differentiated in float64 for each
group by itself at the weights before the step.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import Lens, Run
from gradlens.guards.warning import GradlensWarning
from tests.engines.zoo import CLASSES, GROUPS
from tests.lens.oracle import apart, gradient, gram, same
from tests.lens.training import batches, state

pytestmark = pytest.mark.usefixtures("one_thread")

ENGINES = ("masked", "split", "func")
Terms = Callable[[nn.Module, Tensor, Tensor], Tensor]


class Net(nn.Module):
    """Two heads on a trunk."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.trunk = nn.Sequential(nn.Linear(5, 9), nn.Tanh(), nn.Linear(9, 7), nn.Tanh())
        self.head = nn.Linear(7, CLASSES)
        self.other = nn.Linear(7, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.trunk(x))


class Training:
    """A model, its optimizer and a lens, or none."""

    def __init__(self, lens: Lens | None, model: Net, optimizer: torch.optim.Optimizer) -> None:
        self.lens, self.model, self.optimizer = lens, model, optimizer
        self.params = list(model.parameters())
        self.to_none = True

    def backward(self, loss: Tensor, y: Tensor, out: Tensor, retain: bool = True) -> list[Tensor]:
        """Runs a pass on fresh gradients, and returns copies of them."""
        self.optimizer.zero_grad(set_to_none=self.to_none)
        return self.added(loss, y, out, retain)

    def added(self, loss: Tensor, y: Tensor, out: Tensor, retain: bool = True) -> list[Tensor]:
        """Runs a pass on top of what is there."""
        if self.lens is None:
            loss.backward(retain_graph=retain)
        else:
            self.lens.backward(loss, y, out, retain_graph=retain)
        return [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self.params]

    def step(self, gradients: Sequence[Tensor] | None = None) -> None:
        if gradients is not None:
            for p, g in zip(self.params, gradients, strict=True):
                p.grad = g.clone()
        self.optimizer.step()
        self.optimizer.zero_grad()


def combined(passes: Sequence[Sequence[Tensor]], weights: Sequence[float]) -> list[Tensor]:
    return [sum(w * g for w, g in zip(weights, parts, strict=True)) for parts in zip(*passes, strict=True)]


def projected(passes: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """PCGrad: of each gradient only what does not conflict with the others is left."""
    flat = [torch.cat([g.flatten() for g in one]) for one in passes]
    total = torch.zeros_like(flat[0])
    for i, own in enumerate(flat):
        left = own.clone()
        for j, other in enumerate(flat):
            if i != j and left @ other < 0:
                left -= left @ other / (other @ other) * other
        total += left
    return [p.view_as(g) for p, g in zip(total.split([g.numel() for g in passes[0]]), passes[0], strict=True)]


def ce(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(model(x), y, reduction="none")


def of(classes: Sequence[int], each: Tensor, y: Tensor) -> Tensor:
    return each * torch.isin(y, torch.tensor(classes))


PARTS = ([0, 1, 2], [3, 4, 5, 6, 7, 8, 9])
THREE = ([0, 4], [1, 2, 3], [5, 6, 7, 8, 9])


def mean(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return ce(model, x, y) / len(y)


def by_classes(t: Training, x: Tensor, y: Tensor, parts: Sequence[Sequence[int]] = PARTS) -> list[list[Tensor]]:
    out = t.model(x)
    each = F.cross_entropy(out, y, reduction="none") / len(y)
    return [t.backward(of(ids, each, y).sum(), y, out) for ids in parts]


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


# What follows zeroes .grad because a pass was for something else.


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


@dataclass(frozen=True)
class Case:
    """A program, the terms that must count, whether another direction is said, and how often each sample counts."""

    program: Callable[[Training, Tensor, Tensor], None]
    terms: Terms = mean
    says: bool | None = False  # None: it depends on the step
    rest: bool = False
    times: int = 1


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


def part_of(classes: Sequence[int], terms: Terms, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return of(classes, terms(model, x.double(), y), y).sum()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES, ids=[case.program.__name__ for case in CASES])
def test_what_steps_counts_and_nothing_else(case: Case, engine: str, tmp_path) -> None:
    measured, plain = Net(), Net()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (measured, plain)]
    with (
        warnings.catch_warnings(record=True) as said,
        Lens(
            measured, GROUPS, optimizer=optimizers[0], every=1, engine=engine, out=tmp_path / "run", strict=True
        ) as lens,
    ):
        warnings.simplefilter("always")
        for x, y in batches(4, rows=24):
            before = copy.deepcopy(measured)
            case.program(Training(lens, measured, optimizers[0]), x, y)
            case.program(Training(None, plain, optimizers[1]), x, y)
            m = lens.last
            assert m is not None
            vectors = [gradient(before, partial(part_of, ids, case.terms, x=x, y=y)) for ids in GROUPS.classes]
            assert apart(m.gram[: len(GROUPS), : len(GROUPS)], gram(vectors)) < 1e-4
            assert m.counts.tolist() == [case.times * torch.isin(y, torch.tensor(ids)).sum() for ids in GROUPS.classes]
            hits = before(x).argmax(1) == y if case.terms is not moved else None
            if hits is not None:
                assert m.correct.tolist() == [case.times * of(ids, hits, y).sum() for ids in GROUPS.classes]
            assert m.residual < 1e-5
            if case.rest:
                truth = gradient(before, lambda twin: 1e-2 * sum(p.square().sum() for p in twin.parameters()))
                assert m.norm("rest") == pytest.approx(gram([truth])[0, 0] ** 0.5, rel=1e-5)
    assert same(state(measured, optimizers[0]), state(plain, optimizers[1]))
    assert Run(tmp_path / "run").steps.tolist() == [0, 1, 2, 3]
    directions = [str(w.message) for w in said if issubclass(w.category, GradlensWarning)]
    assert all("what the optimizer steps on" in text or "engine" in text for text in directions)
    if case.says is not None:
        assert any("what the optimizer steps on" in text for text in directions) == case.says


def trained(program: Callable[[Training, Tensor, Tensor], None], **options: Any) -> tuple[Lens, list[str], bool]:
    """Trains three steps with a lens and without; returns the lens, what was said, and whether both ended alike."""
    measured, plain = Net(), Net()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (measured, plain)]
    with (
        warnings.catch_warnings(record=True) as said,
        Lens(measured, GROUPS, optimizer=optimizers[0], every=1, **options) as lens,
    ):
        warnings.simplefilter("always")
        for x, y in batches(3, rows=24):
            program(Training(lens, measured, optimizers[0]), x, y)
            program(Training(None, plain, optimizers[1]), x, y)
    alike = same(state(measured, optimizers[0]), state(plain, optimizers[1]))
    return lens, [str(w.message) for w in said if issubclass(w.category, GradlensWarning)], alike


@pytest.mark.parametrize("update", [False, True])
def test_the_scale_of_a_gradient_scaler_is_left_out(update: bool, tmp_path) -> None:
    scalers = {alone: torch.amp.GradScaler("cpu", init_scale=1024.0) for alone in (True, False)}
    before: list[Net] = []

    def scaled(t: Training, x: Tensor, y: Tensor) -> None:
        scaler = scalers[t.lens is None]
        before.append(copy.deepcopy(t.model))
        out = t.model(x)
        each = F.cross_entropy(out, y, reduction="none") / len(y)
        passes = [t.backward(scaler.scale(of(ids, each, y).sum()), y, out) for ids in PARTS]
        for p, g in zip(t.params, combined(passes, (1, 1)), strict=True):
            p.grad = g
        scaler.step(t.optimizer)
        scaler.update()

    lens, said, alike = trained(scaled, out=tmp_path / "run", update=update)
    assert alike
    assert said == []
    assert lens.last is not None
    assert not [event for event in Run(tmp_path / "run").events if event["kind"] == "stepped scale"]
    x, y = batches(3, rows=24)[-1]
    vectors = [gradient(before[-1], partial(part_of, ids, mean, x=x, y=y)) for ids in GROUPS.classes]
    assert apart(lens.last.gram[: len(GROUPS), : len(GROUPS)], gram(vectors)) < 1e-4


def clips_each_pass(t: Training, x: Tensor, y: Tensor) -> None:
    """Clips the gradient of each group's own batch before the next pass takes it away."""
    total = [torch.zeros_like(p) for p in t.params]
    for ids in PARTS:
        chosen = torch.isin(y, torch.tensor(ids))
        t.optimizer.zero_grad()
        out = t.model(x[chosen])
        t.added(F.cross_entropy(out, y[chosen]), y[chosen], out, retain=False)
        nn.utils.clip_grad_norm_(t.params, 0.05)
        total = [a if p.grad is None else a + p.grad for a, p in zip(total, t.params, strict=True)]
    t.step(total)


def zeroes_in_place_between_graphs(t: Training, x: Tensor, y: Tensor) -> None:
    total = [torch.zeros_like(p) for p in t.params]
    for ids in PARTS:
        chosen = torch.isin(y, torch.tensor(ids))
        t.optimizer.zero_grad(set_to_none=False)
        out = t.model(x[chosen])
        passed = t.added(F.cross_entropy(out, y[chosen]), y[chosen], out, retain=False)
        total = [a + g for a, g in zip(total, passed, strict=True)]
    t.step(total)


@pytest.mark.parametrize("program", [clips_each_pass, zeroes_in_place_between_graphs])
def test_passes_that_are_written_to_before_they_are_zeroed_count_from_the_second_step_on(program, tmp_path) -> None:
    before: list[Net] = []

    def noted(t: Training, x: Tensor, y: Tensor) -> None:
        before.append(copy.deepcopy(t.model))
        program(t, x, y)

    _, _, alike = trained(noted, engine="masked", out=tmp_path / "run")
    assert alike
    run = Run(tmp_path / "run")
    # The first of these steps is left out: a part of it had gone when it was needed.
    assert run.steps.tolist() == [1, 2]
    for position, (x, y) in enumerate(batches(3, rows=24)[1:]):
        own = [torch.isin(y, torch.tensor(ids)) for ids in PARTS]

        def loss_of(ids, model, x=x, y=y, own=own):
            each = F.cross_entropy(model(x.double()), y, reduction="none")
            return sum((of(ids, each, y) * chosen).sum() / chosen.sum() for chosen in own)

        vectors = [gradient(before[2 + 2 * position], partial(loss_of, ids)) for ids in GROUPS.classes]
        assert apart(run.gram()[position, : len(GROUPS), : len(GROUPS)], gram(vectors)) < 1e-4


def test_gradients_are_let_go_when_the_step_is_over() -> None:
    lens, _, alike = trained(pcgrad)
    assert alike
    meter = lens._stepper.fitting.meter
    assert meter.passes.totals == ()
    assert meter.passes.sums.total is None
    assert lens._stepper._stepped_gradient._passes == ()


@pytest.mark.parametrize(
    "broken", ["gradlens.measure.stepped_gradient.step_together", "gradlens.measure.step_passes.StepPasses._take_away"]
)
def test_a_fault_of_ours_does_not_reach_the_training(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise ArithmeticError("ours")

    monkeypatch.setattr(broken, fails)
    lens, said, alike = trained(pcgrad)
    assert alike
    assert lens.last is None
    assert any("could not be measured (ArithmeticError: ours)" in text for text in said)


def test_returned_gradients_are_compared_with_what_steps(tmp_path) -> None:
    """What lies in .grad is that of the step before."""

    def by_autograd(t: Training, x: Tensor, y: Tensor) -> None:
        out, passes = t.model(x), []
        each = F.cross_entropy(out, y, reduction="none") / len(y)
        for loss in (of(ids, each, y).sum() for ids in PARTS):
            found: list[Any] = []

            def compute(loss: Tensor = loss, found: list[Any] = found) -> None:
                found.extend(torch.autograd.grad(loss, t.params, retain_graph=True, allow_unused=True))

            if t.lens is None:
                compute()
            else:
                t.lens.measured_backward(
                    loss,
                    anchors=[out],
                    labels=y,
                    backward=compute,
                    taken=lambda found=found: zip(t.params, found, strict=True),
                )
            passes.append([torch.zeros_like(p) if g is None else g for p, g in zip(t.params, found, strict=True)])
        for p, g in zip(t.params, combined(passes, (1, 1)), strict=True):
            p.grad = g
        t.optimizer.step()

    _, said, alike = trained(by_autograd, out=tmp_path / "run")
    assert alike
    assert said == []
    run = Run(tmp_path / "run")
    assert len(run) == 3
    assert not [event for event in run.events if event["kind"].startswith("stepped")]
