"""Trainings that are not the plain loop: fused optimizers, freezing, skipped steps, closures, copies, other dtypes."""

from __future__ import annotations

import contextlib
import copy
import gc
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens, Run
from gradlens.tracking.attach.tracked_lens import TrackedLens
from tests.engines.zoo import CLASSES, GROUPS
from tests.lens.oracle import apart, gradient, gram, same
from tests.lens.training import accumulated, batches, loss_of, mlp, state

ENGINES = ("masked", "split", "func")


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("to_none", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
def test_an_optimizer_that_steps_inside_backward(engine: str, to_none: bool) -> None:
    def fused(model: nn.Module) -> None:
        optimizers = {p: torch.optim.SGD([p], 0.1, momentum=0.9) for p in model.parameters()}

        def step(p: Tensor) -> None:
            optimizers[p].step()
            optimizers[p].zero_grad(set_to_none=to_none)

        for p in model.parameters():
            p.register_post_accumulate_grad_hook(step)

    model, twin = mlp(), mlp()
    fused(model)
    fused(twin)
    with Lens(model, GROUPS, every=1, engine=engine, strict=True) as lens:
        for x, y in batches(4):
            vectors = [[3 * g for g in accumulated(_plain(model), [(x, y)], ids)] for ids in GROUPS.classes]
            lens.backward(loss_of(model, x, y), y)
            loss_of(twin, x, y).backward()
            m = lens.last
            assert m is not None
            assert apart(m.gram, gram([*vectors, [None] * 4])) <= 1e-4
            assert m.residual < 1e-5
    assert same(state(model), state(twin))


def _plain(model: nn.Module) -> nn.Module:
    """The same network without hooks: copying hooks would train."""
    other = mlp()
    other.load_state_dict(model.state_dict())
    return other


def test_freezing_and_thawing_between_steps() -> None:
    model, twin = mlp(), mlp()
    optimizer, plain = (torch.optim.SGD(m.parameters(), 0.1) for m in (model, twin))
    with Lens(model, GROUPS, optimizer=optimizer, every=1, engine="split", layers=True, strict=True) as lens:
        for step, (x, y) in enumerate(batches(6)):
            for m in (model, twin):  # after the lens has armed this step, as a training that changes phase does
                m[0].requires_grad_(step not in (2, 3))
            vectors = [[3 * g for g in accumulated(_frozen_like(model), [(x, y)], ids)] for ids in GROUPS.classes]
            vectors.append([None] * len(vectors[0]))
            lens.backward(loss_of(model, x, y), y)
            loss_of(twin, x, y).backward()
            assert lens.last is None or lens.last.step == step - 1
            optimizer.step()
            plain.step()
            optimizer.zero_grad()
            plain.zero_grad()
            assert lens.last is not None
            assert lens.last.step == step
            assert apart(lens.last.gram, gram(vectors)) <= 1e-4
            assert lens.last.layers is not None
            assert (lens.last.layers[0, 0, 0] == 0) == (step in (2, 3))
            assert lens.engine_name == "split"
    assert same(state(model, optimizer), state(twin, plain))


def _frozen_like(model: nn.Module) -> nn.Module:
    other = _plain(model)
    for a, b in zip(other.parameters(), model.parameters(), strict=True):
        a.requires_grad_(b.requires_grad)
    return other


@pytest.mark.parametrize("set_to_none", [True, False])
def test_a_step_that_the_optimizer_skipped_is_not_counted(set_to_none: bool) -> None:
    """As a gradient scaler does when gradients overflow: backward, no step, zero_grad."""
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    (x0, y0), (x, y) = batches(2)
    with Lens(model, GROUPS, optimizer=optimizer, every=1, strict=True) as lens:
        for p in model.parameters():
            p.grad = None if set_to_none else torch.zeros_like(p)
        lens.backward(loss_of(model, x0, y0), y0)
        optimizer.zero_grad(set_to_none=set_to_none)
        truth = gradient(_plain(model), lambda twin: F.cross_entropy(twin(x.double()), y))
        lens.backward(loss_of(model, x, y), y)
        optimizer.step()
        m = lens.last
    assert m is not None
    assert m.step == 0
    assert m.counts.sum() == 12
    assert m.norm() == pytest.approx(gram([truth])[0, 0] ** 0.5, rel=1e-4)
    assert m.residual <= 1e-5


def test_a_closure_optimizer_measures_its_last_evaluation() -> None:
    model, twin = mlp(), mlp()
    (x, y), *_ = batches(1)
    optimizer, plain = (torch.optim.LBFGS(m.parameters(), max_iter=3) for m in (model, twin))
    with Lens(model, GROUPS, optimizer=optimizer, every=1, strict=True) as lens:

        def closure(m: nn.Module = model, o: Any = optimizer, tracked: bool = True) -> float:
            o.zero_grad()
            loss = loss_of(m, x, y)
            lens.backward(loss, y) if tracked else loss.backward()
            return loss.item()

        for _ in range(2):
            optimizer.step(closure)
            plain.step(partial(closure, twin, plain, False))
        assert lens.last is not None
        assert lens.last.step == 1
        assert lens.last.counts.sum() == 12
    assert same(state(model), state(twin))


@pytest.mark.parametrize("engine", ENGINES)
def test_copies_and_saved_models_carry_no_hooks(engine: str, tmp_path: Path) -> None:
    """An exponential moving average is a deep copy; many scripts save the whole model."""
    model = mlp()
    (x, y), *_ = batches(1)
    with Lens(model, GROUPS, every=1, engine=engine, strict=True) as lens:
        assert lens.armed
        average = copy.deepcopy(model)
        torch.save(model, tmp_path / "model.pt")
        loaded = torch.load(tmp_path / "model.pt", weights_only=False)
        for other in (average, loaded):
            outputs = [weakref.ref(other(x)) for _ in range(3)]
            gc.collect()
            assert [ref() for ref in outputs] == [None] * 3
        lens.backward(loss_of(model, x, y), y)
        assert lens.last is not None
        assert lens.last.residual <= 1e-5


def test_a_model_in_half_precision_and_one_in_double() -> None:
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.bfloat16, 5e-2)):
        model = mlp().to(dtype)
        (x, y), *_ = batches(1)
        vectors = [[3 * g for g in accumulated(model, [(x.to(dtype), y)], ids)] for ids in GROUPS.classes]
        with Lens(model, GROUPS, every=1, strict=True) as lens:
            lens.backward(loss_of(model, x.to(dtype), y), y)
        assert lens.last is not None
        assert apart(lens.last.gram[:3, :3], gram(vectors)) <= tolerance


@pytest.mark.parametrize("engine", ENGINES)
def test_autocast_is_no_disagreement(engine: str) -> None:
    """Gradients that were rounded to bfloat16 agree within that rounding: no warning, no other engine."""
    model, twin = mlp(width=64), mlp(width=64)
    with Lens(model, GROUPS, every=1, engine=engine, strict=True) as lens:
        for x, y in batches(3):
            for m in (model, twin):
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    loss = F.cross_entropy(m(x).float(), y)
                lens.backward(loss, y) if m is model else loss.backward()
    assert lens.engine_name == engine
    assert lens.last is not None
    assert lens.last.residual <= 0.03
    assert same(state(model), state(twin))


def test_many_groups() -> None:
    model = mlp()
    (x, y), *_ = batches(1, rows=30)
    groups = ClassGroups.per_class(CLASSES)
    vectors = [[3 * g for g in accumulated(model, [(x, y)], [c])] for c in range(CLASSES)]
    for engine in ENGINES:
        with Lens(model, groups, every=1, engine=engine, strict=True) as lens:
            for _ in range(2):
                lens.backward(loss_of(model, x, y), y)
                model.zero_grad()
        assert lens.last is not None
        assert apart(lens.last.gram, gram([*vectors, [None] * 4])) <= 1e-4


def test_a_step_inside_a_backward_pass_that_fails_is_counted(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    failing = False

    def step(_: Tensor) -> None:
        optimizer.step()
        optimizer.zero_grad()
        if failing:
            raise ArithmeticError("of the script")

    next(iter(model.parameters())).register_post_accumulate_grad_hook(step)  # the last to get its gradient
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1) as lens:
        for number, (x, y) in enumerate(batches(4)):
            failing = number == 2
            with contextlib.suppress(ArithmeticError):
                lens.backward(loss_of(model, x, y), y)
        assert lens.step == 4
    assert Run(tmp_path / "run").steps.tolist() == [0, 1, 3]


def test_a_backward_pass_that_fails_leaves_its_step_out() -> None:
    model, failing = mlp(), [True]

    def fail(gradient: Tensor) -> None:
        if failing:
            raise ArithmeticError("of the script")

    next(iter(model.parameters())).register_hook(fail)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (x, y), *_ = batches(1)
    with Lens(model, GROUPS, optimizer=optimizer, every=1) as lens:
        with pytest.raises(ArithmeticError):
            lens.backward(loss_of(model, x, y), y)
        failing.clear()
        lens.backward(loss_of(model, x, y), y)  # tried again, upon what is in .grad already
        optimizer.step()
        assert lens.last is None
        assert lens.step == 1


def test_a_compiled_model_whose_first_backward_pass_is_not_measured() -> None:
    # By default what is compiled in that pass writes into its buffers, and cannot run again in the next one.
    model, first = mlp(), mlp()
    compiled = torch.compile(model, backend="aot_eager")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with (
        # Not by monkeypatch, which would take the setting away from torch for good.
        torch._functorch.config.patch(donated_buffer=True),
        TrackedLens(model, GROUPS, optimizer=optimizer, every=2) as lens,
    ):
        lens.step = 1
        lens.skip()
        for x, y in batches(2):
            first.load_state_dict(model.state_dict())
            optimizer.zero_grad()
            outputs = compiled(x)
            lens.backward(F.cross_entropy(outputs, y), y, outputs)
            optimizer.step()
        assert lens.last is not None
        assert lens.last.step == 2
        vectors = [gradient(first, partial(group_loss, x=x, y=y, classes=ids)) for ids in GROUPS.classes]
        assert apart(lens.last.gram[: len(GROUPS), : len(GROUPS)], gram(vectors)) < 1e-5


def group_loss(model: nn.Module, x: Tensor, y: Tensor, classes: tuple[int, ...]) -> Tensor:
    inside = torch.isin(y, torch.tensor(classes))
    return (F.cross_entropy(model(x.double()), y, reduction="none") * inside).mean()
