"""The benefit of a step: the loss of the same batch before and after it, for small steps of real optimizers in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens, Run
from tests.lens.training import batches, mlp

GROUPS = ClassGroups({"head": [0, 1, 2], "tail": [3, 4, 5]}, 6)
LR = 1e-5


def sgd(params: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(params, LR, momentum=0.9, nesterov=True, weight_decay=0.5)


def adam(params: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(params, LR, weight_decay=0.5)


@torch.no_grad()
def losses(model: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
    """The mean loss of the samples of each group."""
    each = F.cross_entropy(model(x), y, reduction="none")
    of = torch.from_numpy(GROUPS.of_class())[y]
    return {name: float(each[of == k].mean()) for k, name in enumerate(GROUPS.names)}


@pytest.mark.parametrize("make", [sgd, adam])
def test_it_is_the_fall_of_each_groups_loss(make: Callable[..., torch.optim.Optimizer], tmp_path: Path) -> None:
    model = mlp().double()
    optimizer = make(model.parameters())
    held_out, labels = batches(1, rows=40, seed=7)[0]
    held_out = held_out.double()
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1, update=True, strict=True) as lens:
        for x, y in batches(4):
            before, before_held = losses(model, x.double(), y), losses(model, held_out, labels)
            lens.backward(F.cross_entropy(model(x.double()), y), y)
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            optimizer.step()
            optimizer.zero_grad()
            after, after_held = losses(model, x.double(), y), losses(model, held_out, labels)
            probed = lens.probe([(held_out, labels)])
            assert lens.last is not None
            for name in GROUPS.names:
                assert lens.last.benefit(name) == pytest.approx(before[name] - after[name], rel=2e-3, abs=1e-9)
                assert probed.benefit(name) == pytest.approx(before_held[name] - after_held[name], rel=2e-3, abs=1e-9)
    run = Run(tmp_path / "run")
    assert run.benefit("tail")[-1] == pytest.approx(lens.last.benefit("tail"))
    kept = run.probes[-1].measurement
    assert kept.benefit("tail") == pytest.approx(probed.benefit("tail"))
    assert probed.names == ("head", "tail", "rest", "update")
    assert sum(probed.share(name) for name in ("head", "tail", "rest")) == pytest.approx(1)


@pytest.mark.parametrize("style", ["scaled", "accumulated", "closure"])
def test_it_is_that_of_the_whole_step_in_other_styles(style: str) -> None:
    model = mlp().double()
    optimizer = torch.optim.SGD(model.parameters(), LR, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, enabled=style == "scaled")
    parts = (slice(0, 12), slice(12, 24)) if style == "accumulated" else (slice(0, 24),)
    with Lens(model, GROUPS, optimizer=optimizer, every=1, update=None, strict=True) as lens:
        for x, y in ((x.double(), y) for x, y in batches(3, rows=24)):

            def run(x: Tensor = x, y: Tensor = y) -> None:
                optimizer.zero_grad()
                for rows in parts:
                    lens.backward(scaler.scale(F.cross_entropy(model(x[rows]), y[rows]) / len(parts)), y[rows])

            before = losses(model, x, y)
            if style == "closure":
                optimizer.step(run)
            else:
                run()
                scaler.step(optimizer)
                scaler.update()
            after = losses(model, x, y)
            assert lens.last is not None
            for name in GROUPS.names:
                assert lens.last.benefit(name) == pytest.approx(before[name] - after[name], rel=2e-3, abs=1e-9)


def test_there_is_none_without_an_update(tmp_path: Path) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    ((x, y),) = batches(1)
    with Lens(model, GROUPS, out=tmp_path / "run", optimizer=optimizer, every=1, strict=True) as lens:
        lens.backward(F.cross_entropy(model(x), y), y)
        optimizer.step()
        probed = lens.probe([(x, y)])
    run = Run(tmp_path / "run")
    assert run.benefit("tail").shape == (1,)
    for value in (run.benefit("tail")[0], lens.last.benefit("tail"), probed.benefit("tail")):
        assert value != value  # NaN
    with pytest.raises(KeyError, match="no vector 'nose'"):
        run.benefit("nose")
