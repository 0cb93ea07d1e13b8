"""Ctrl-C in the middle of a measurement, in a script that catches it and trains on."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from gradlens import Lens
from gradlens.guards.own_pass import _running
from tests.engines.zoo import GROUPS
from tests.lens.training import batches, mlp


class Interrupted(torch.autograd.Function):
    """Raises KeyboardInterrupt in the next backward pass, once."""

    due = False

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        if Interrupted.due:
            Interrupted.due = False
            raise KeyboardInterrupt
        return grad


@pytest.mark.parametrize("engine", ["masked", "split"])
def test_an_interrupt_in_a_pass_of_ours_leaves_the_next_steps_right(engine: str) -> None:
    model = mlp()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    seen: list[tuple[int, float]] = []

    with Lens(model, GROUPS, optimizer=optimizer, every=1, engine=engine) as lens:
        for step, (x, y) in enumerate(batches(5)):
            optimizer.zero_grad()
            hidden = Interrupted.apply(model[:-1](x))
            logits = model[-1](hidden)
            Interrupted.due = step == 2
            try:
                lens.backward(F.cross_entropy(logits, y), y, outputs=logits)
            except KeyboardInterrupt:
                assert not _running
                optimizer.zero_grad()
            optimizer.step()
            assert lens.last is not None
            seen.append((lens.last.step, lens.last.residual))

    assert [step for step, _ in seen] == [0, 1, 1, 3, 4]
    assert all(residual < 1e-5 for _, residual in seen)
