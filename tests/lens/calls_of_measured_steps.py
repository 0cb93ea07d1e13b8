"""Counts the functions of a measured step, in a process of its own: what other tests have left in theirs would count, too."""

from __future__ import annotations

import json

import torch
import torch.nn.functional as F
from torch import nn

from gradlens import ClassGroups, Lens
from tests.tracking.counted_calls import Calls

GROUPS = {"2": ClassGroups({"head": range(7), "tail": range(7, 10)}, 10), "10": ClassGroups.per_class(10)}
# Before it, checked steps come often. The next one is the 51st.
STEADY = 36


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


if __name__ == "__main__":
    torch.set_num_threads(1)
    engines = ("split", "masked", "func")
    counts = {
        f"{k} {engine}": len(calls_of_a_step(groups, engine)) for k, groups in GROUPS.items() for engine in engines
    }
    print(json.dumps(counts))
