"""A measured step: how many functions gradlens enters and calls in it. Counted, not timed, so it is always the same."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens import ClassGroups, Lens
from tests.tracking.counted_calls import Calls

TWO = ClassGroups({"head": range(7), "tail": range(7, 10)}, 10)
TEN = ClassGroups.per_class(10)
# Before it, checked steps come often. The next one is the 51st.
STEADY = 36


@pytest.fixture(autouse=True)
def nothing_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a scaled loss, while a tensor keeps its gradient, or while a normal number of NumPy waits, a step does more."""
    np.random.seed(0)  # noqa: NPY002
    monkeypatch.setattr("gradlens.batch.loss_scale._scaled", False)
    monkeypatch.setattr("gradlens.guards.own_pass._retained", {})


def calls_of_a_step(groups: ClassGroups, engine: str) -> list[str]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x, y = torch.randn(40, 16), torch.arange(40) % 10
    found = []
    with Lens(model, groups, optimizer=optimizer, every=1, engine=engine, strict=True) as lens:
        for step in range(STEADY + 3):
            with Calls() as calls:
                loss = F.cross_entropy(model(x), y)
                lens.backward(loss, y)
                optimizer.step()
                optimizer.zero_grad()
            if step >= STEADY:
                found.append(calls.functions)
        assert lens.engine_name == engine
        assert lens.last is not None
        assert lens.last.residual < 1e-6
    assert found[0] == found[1] == found[2]
    return found[0]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    ("groups", "engine", "most"),
    [
        (TWO, "split", 1600),
        (TWO, "masked", 1210),
        (TWO, "func", 1490),
        (TEN, "split", 1950),
        (TEN, "masked", 1395),
        (TEN, "func", 1625),
    ],
    ids=lambda value: str(len(value)) if isinstance(value, ClassGroups) else str(value),
)
def test_a_measured_step_calls_no_more_functions_than_today(groups: ClassGroups, engine: str, most: int) -> None:
    found = calls_of_a_step(groups, engine)
    assert 0 < len(found) <= most, f"{len(found)} calls"
