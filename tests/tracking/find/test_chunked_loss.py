"""torch's linear_cross_entropy in chunks says what of it is measured, with a line that can be followed."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import gradlens
from gradlens.runlog import Run
from gradlens.tracking.launch.ending import why_nothing
from tests.tracking.in_process import said

pytestmark = pytest.mark.skipif(
    not hasattr(nn, "LinearCrossEntropyLoss"), reason="this torch has no linear_cross_entropy"
)
LINE = "the weights inside a linear_cross_entropy with chunks have no gradient of a group"


def train(chunk, observe, *, beside=False):
    torch.manual_seed(0)
    body = nn.Sequential(nn.Linear(12, 16), nn.ReLU())
    options = nn.LinearCrossEntropyOptions(batch_chunk_size=chunk) if chunk else None
    head = nn.LinearCrossEntropyLoss(16, 4, bias=True, options=options)
    aux = nn.Linear(16, 4)
    optimizer = torch.optim.SGD([*body.parameters(), *head.parameters(), *aux.parameters()], 0.1)
    for _ in range(3):
        x, y = torch.randn(32, 12), torch.randint(0, 4, (32,))
        h = body(x)
        if observe:
            gradlens.observe(h, y)
        optimizer.zero_grad()
        loss = head(h, y) + 0.3 * F.cross_entropy(aux(h), y) if beside else head(h, y)
        loss.backward()
        optimizer.step()


@pytest.mark.parametrize("observe", [False, True])
def test_beside_a_loss_that_is_measured_it_is_the_cause_of_rest(start, tmp_path, observe):
    tracker = start(every=1, groups="a=0-1,b=2-3")
    train(8, observe, beside=True)

    assert [LINE in line for line in said()].count(True) == 1
    tracker.lens.close()
    run = Run(tmp_path / "run")
    assert (run.norm("rest") > 0).all()


@pytest.mark.parametrize("groups", ["a=0-1,b=2-3", "per-class"])
def test_its_weight_tells_how_many_classes_there_are(start, tmp_path, groups):
    """Not the width of the embedding that the script names."""
    tracker = start(every=1, groups=groups)
    train(8, observe=True)

    assert any("of 4 classes (" in line for line in said())
    tracker.lens.close()
    assert Run(tmp_path / "run").groups.num_classes == 4


@pytest.mark.parametrize("observe", [False, True])
def test_a_loss_in_chunks_says_that_its_weights_are_rest(start, tmp_path, observe):
    tracker = start(every=1, groups="a=0-1,b=2-3")
    train(8, observe)

    assert [line for line in said() if LINE in line]
    if not observe:
        assert why_nothing(tracker, "finished").startswith(f"nothing was measured: {LINE}")
        return
    tracker.lens.close()
    assert (Run(tmp_path / "run").norm("rest") > 0).all()


def test_the_advice_works(start, tmp_path):
    tracker = start(every=1, groups="a=0-1,b=2-3")
    train(None, observe=False)

    assert not [line for line in said() if LINE in line]
    tracker.lens.close()
    run = Run(tmp_path / "run")
    assert len(run) >= 2
    assert np.nan_to_num(run.norm("rest")).max() < 1e-6 * run.norm("all").max()
    assert run.residual.max() < 1e-5
