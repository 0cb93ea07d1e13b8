"""Training with a lens is training without one, bit by bit; and what is measured is what the optimizer is about to use."""

from __future__ import annotations

import gc
import weakref
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens import Lens, Run
from tests.engines.zoo import GROUPS, ZOO
from tests.lens.oracle import apart, gradient, gram, same
from tests.lens.training import accumulated, batches, hooks, loss_of, mlp, state, train_case

ENGINES = ("masked", "split", "func")
CASES = (
    "mlp-soft-labels", "cnn-batchnorm", "cnn-groupnorm", "partly-frozen", "segmentation", "tied-language-model", "lstm",
    "vit-qkv", "vit-multihead-dropout", "torchvision-convnext",
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("one_thread")


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
            vectors = [accumulated(model, micro, ids) for ids in GROUPS.classes]
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
            vectors = [accumulated(model, [(x, y)], ids) for ids in GROUPS.classes]
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
