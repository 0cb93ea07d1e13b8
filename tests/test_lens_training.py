"""Training with a lens is training without one, bit by bit; and what is measured is what the optimizer is about to use."""

from __future__ import annotations

import copy
import gc
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens, Run
from tests.engines.zoo import CLASSES, GROUPS, ZOO
from tests.lens_oracle import apart, gradient, gram, same
from tests.lens_training import batches, hooks, loss_of, mlp, state, train_case

ENGINES = ("masked", "split", "func")
CASES = (
    "mlp-soft-labels", "cnn-batchnorm", "cnn-groupnorm", "partly-frozen", "segmentation", "tied-language-model", "lstm",
    "vit-qkv", "vit-multihead-dropout", "torchvision-convnext",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", CASES)
def test_training_is_bit_identical(name: str, tmp_path: Path) -> None:
    plain, _ = train_case(name)
    for engine in ENGINES:
        make = partial(Lens, out=tmp_path / engine, every=1, engine=engine, layers=True, update=True, strict=True)
        tracked, lens = train_case(name, make=make)
        assert same(plain, tracked), engine
        assert lens is not None
        assert lens.engine_name == ("masked" if engine in ZOO[name].refuses else engine)
        assert len(Run(tmp_path / engine)) == 3
    tracked, _ = train_case(name, make=partial(Lens, budget=0.5, strict=True))
    assert same(plain, tracked)


@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("engine", ENGINES)
def test_micro_batches_add_up(engine: str, set_to_none: bool) -> None:
    model, twin = mlp(), mlp()
    optimizer, plain = (torch.optim.SGD(m.parameters(), 0.1, momentum=0.9) for m in (model, twin))
    steps = [batches(3, seed=step) for step in range(3)]
    steps[1][0][1].fill_(5)  # a micro-batch of the tail alone
    with Lens(model, GROUPS, optimizer=optimizer, every=1, engine=engine, strict=True) as lens:
        for step, micro in enumerate(steps):
            vectors = [_accumulated(model, micro, ids) for ids in GROUPS.classes]
            vectors.append([None] * 4)
            for x, y in micro:
                lens.backward(loss_of(model, x, y) / 3, y)
                (loss_of(twin, x, y) / 3).backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1e-3)  # measured before, whatever happens here
            torch.nn.utils.clip_grad_norm_(twin.parameters(), 1e-3)
            total = sum(float(loss_of(model, x, y).detach()) for x, y in micro) / 3
            optimizer.step()
            plain.step()
            m = lens.last
            assert m is not None
            assert m.step == step
            assert apart(m.gram, gram(vectors)) <= 1e-4
            assert m.residual <= 1e-5
            assert m.counts.sum() == 36
            assert m.total_loss == pytest.approx(total, rel=1e-6)
            optimizer.zero_grad(set_to_none=set_to_none)
            plain.zero_grad(set_to_none=set_to_none)
    assert lens.engine_name == engine
    assert same(state(model, optimizer), state(twin, plain))


def _accumulated(model: nn.Module, micro: list[tuple[Tensor, Tensor]], classes: Any) -> list[Tensor | None]:
    def scalar(twin: nn.Module) -> Tensor:
        parts = [
            (F.cross_entropy(twin(x.double()), y, reduction="none") * torch.isin(y, torch.tensor(list(classes)))).sum()
            / (3 * len(y))
            for x, y in micro
        ]
        return torch.stack(parts).sum()

    return gradient(model, scalar)


def test_gradients_left_over_from_before_do_not_count() -> None:
    model = mlp()
    (x, y), (x2, y2) = batches(2)
    truth = gradient(model, lambda twin: F.cross_entropy(twin(x.double()), y))
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        loss_of(model, x2, y2).backward()
        model.zero_grad()
        for p in model.parameters():
            p.grad = torch.full_like(p, 3.0)
        lens.backward(loss_of(model, x, y), y)
    assert lens.last is not None
    assert lens.last.norm() == pytest.approx(gram([truth])[0, 0] ** 0.5, rel=1e-4)
    assert lens.last.residual <= 1e-5


@pytest.mark.parametrize(
    "make",
    [
        lambda params: torch.optim.SGD(params, 0.1, momentum=0.9, nesterov=True, weight_decay=1e-3),
        lambda params: torch.optim.Adam(params, 1e-2),
    ],
    ids=["sgd", "adam"],
)
@pytest.mark.parametrize("engine", ENGINES)
def test_the_update_is_what_the_optimizer_takes_off(engine: str, make: Any, tmp_path: Path) -> None:
    model = mlp()
    optimizer = make(model.parameters())
    with Lens(
        model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=2, update=True, engine=engine, strict=True
    ) as lens:
        for step, (x, y) in enumerate(batches(5)):
            vectors = [_accumulated(model, [(x, y)], ids) for ids in GROUPS.classes]
            vectors = [[3 * g for g in v] for v in vectors]  # one micro-batch, not a third of a step
            before = [p.detach().clone().double() for p in model.parameters()]
            optimizer.zero_grad()
            lens.backward(loss_of(model, x, y), y)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.01)
            optimizer.step()
            update = [b - p.detach().double() for b, p in zip(before, model.parameters(), strict=True)]
            if step % 2 == 0:
                m = lens.last
                assert m is not None
                assert m.step == step
                assert m.names == (*GROUPS.names, "rest", "update")
                assert apart(m.gram, gram([*vectors, [None] * 4, update])) <= 1e-4
                overall = [sum(parts) for parts in zip(*vectors, strict=True)]
                u_dot_g, uu, gg = gram([update, overall])[0, 1], gram([update])[0, 0], gram([overall])[0, 0]
                assert m.cosine("update") == pytest.approx(u_dot_g / (uu * gg) ** 0.5, rel=1e-4)
                assert sum(m.share(n) for n in (*GROUPS.names, "rest")) == pytest.approx(1, abs=1e-5)
    run = Run(tmp_path / "run")
    assert run.has_update
    assert run.steps.tolist() == [0, 2, 4]


def test_an_update_without_an_optimizer_is_said_to_be_missing() -> None:
    model = mlp()
    (x, y), *_ = batches(1)
    with pytest.warns(RuntimeWarning, match="update=True needs the optimizer"):
        lens = Lens(model, GROUPS, every=1, update=True)
    with lens:
        lens.backward(loss_of(model, x, y), y)
    assert lens.last is not None
    assert "update" not in lens.last.names


def test_steps_that_are_not_measured_install_nothing() -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    seen = []
    with Lens(model, GROUPS, optimizer=optimizer, every=3, engine="split") as lens:
        for step, (x, y) in enumerate(batches(7)):
            seen.append(hooks(model))
            assert lens.armed == (step % 3 == 0)
            lens.backward(loss_of(model, x, y), y)
            optimizer.step()
            optimizer.zero_grad()
    assert [count > 0 for count in seen] == [step % 3 == 0 for step in range(7)]
    assert hooks(model) == 0


def test_a_closed_lens_measures_nothing_more() -> None:
    model = mlp()
    lens = Lens(model, GROUPS, every=1)
    lens.close()
    lens.close()
    for x, y in batches(2):
        lens.backward(loss_of(model, x, y), y)
        assert not lens.armed
        assert hooks(model) == 0
    assert lens.last is None


@pytest.mark.parametrize("engine", ENGINES)
def test_nothing_of_a_step_outlives_it(engine: str) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    gone: list[weakref.ref[Tensor]] = []
    with Lens(model, GROUPS, optimizer=optimizer, every=2, update=True, engine=engine, strict=True) as lens:
        for x, y in batches(6):
            output = model(x)
            loss = F.cross_entropy(output, y)
            lens.backward(loss, y)
            gone += [weakref.ref(output), weakref.ref(loss)]
            optimizer.step()
            optimizer.zero_grad()
            del output, loss
            gc.collect()
            assert [ref() for ref in gone] == [None] * len(gone)
        gradients = [weakref.ref(p.grad) for p in model.parameters() if p.grad is not None]
        assert gradients == []
    assert lens.last is not None


def test_an_optimizer_that_steps_inside_backward() -> None:
    def fused(model: nn.Module) -> None:
        optimizers = {p: torch.optim.SGD([p], 0.1, momentum=0.9) for p in model.parameters()}

        def step(p: Tensor) -> None:
            optimizers[p].step()
            p.grad = None

        for p in model.parameters():
            p.register_post_accumulate_grad_hook(step)

    model, twin = mlp(), mlp()
    fused(model)
    fused(twin)
    with Lens(model, GROUPS, every=1, strict=True) as lens:
        for step, (x, y) in enumerate(batches(4)):
            vectors = [[3 * g for g in _accumulated(_plain(model), [(x, y)], ids)] for ids in GROUPS.classes]
            lens.backward(loss_of(model, x, y), y)
            loss_of(twin, x, y).backward()
            m = lens.last
            assert m is not None
            if step == 0:
                # Nobody knew yet that gradients vanish: the largest group is missing, and never wrong.
                assert np.isnan(m.gram[0]).all()
                assert apart(m.gram[1:3, 1:3], gram(vectors[1:])) <= 1e-4
            else:
                assert apart(m.gram, gram([*vectors, [None] * 4])) <= 1e-4
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
            vectors = [[3 * g for g in _accumulated(_frozen_like(model), [(x, y)], ids)] for ids in GROUPS.classes]
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
        vectors = [[3 * g for g in _accumulated(model, [(x.to(dtype), y)], ids)] for ids in GROUPS.classes]
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
    vectors = [[3 * g for g in _accumulated(model, [(x, y)], [c])] for c in range(CLASSES)]
    for engine in ENGINES:
        with Lens(model, groups, every=1, engine=engine, strict=True) as lens:
            for _ in range(2):
                lens.backward(loss_of(model, x, y), y)
                model.zero_grad()
        assert lens.last is not None
        assert apart(lens.last.gram, gram([*vectors, [None] * 4])) <= 1e-4
