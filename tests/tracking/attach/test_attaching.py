"""The first step of a tracked training: measured only where all of it was seen."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.runlog import Run

DECAY = 0.05


def train(penalty_first):
    """Two backward passes for each step: a penalty on the weights, and the loss. Returns |penalty's gradient|^2 of each step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sizes = []
    for _ in range(3):
        optimizer.zero_grad()
        labels = torch.arange(12) % 3
        loss = F.cross_entropy(model(torch.randn(12, 5)), labels)
        penalty = DECAY * sum(p.square().sum() for p in model.parameters())
        sizes.append(sum(float((2 * DECAY * p.detach().double()).square().sum()) for p in model.parameters()))
        for part in (penalty, loss) if penalty_first else (loss, penalty):
            part.backward()
        optimizer.step()
    return sizes


@pytest.mark.parametrize("penalty_first", [False, True])
def test_a_penalty_with_a_backward_pass_of_its_own_is_rest(start, tmp_path, penalty_first):
    tracker = start(every=1, groups="head=0,tail=1-2")

    sizes = train(penalty_first)
    tracker.lens.close()

    run = Run(tmp_path / "run")
    # A penalty before the first loss call ran before there was a lens: that step is left out rather than measured in part.
    assert run.steps.tolist() == ([1, 2] if penalty_first else [0, 1, 2])
    rest = run.names.index("rest")
    assert run.gram()[:, rest, rest] == pytest.approx(sizes[penalty_first:], rel=1e-5)
    assert run.residual.max() < 1e-5
