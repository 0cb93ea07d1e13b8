"""The engine that is said and written down is the one that measures."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.analysis.overview import overview
from gradlens.engines.masked import MaskedEngine
from gradlens.engines.split import SplitEngine
from gradlens.runlog import Run
from tests.tracking.in_process import said

ROWS, CLASSES, STEPS = 12, 4, 4


class Crossed(nn.Module):
    """Its second layer takes the features for rows: only its forward pass tells."""

    def __init__(self):
        super().__init__()
        self.body, self.across, self.head = nn.Linear(6, 5), nn.Linear(ROWS, ROWS), nn.Linear(5, CLASSES)

    def forward(self, x):
        return self.head(self.across(self.body(x).T).T.relu())


def plain(model, x, y):
    return F.cross_entropy(model(x), y)


def mixup(model, x, y):
    out = model(0.7 * x + 0.3 * x.flip(0))
    return 0.7 * F.cross_entropy(out, y) + 0.3 * F.cross_entropy(out, y.flip(0))


def chunks(model, x, y):
    parts = zip(model(x).chunk(3), y.chunk(3), strict=True)
    return sum(F.cross_entropy(out, labels, reduction="sum") for out, labels in parts) / len(y)


def tokens(model, x, y):
    out = model(torch.stack([x, -x], 1))  # [B, T, C]
    return F.cross_entropy(out.transpose(1, 2), torch.stack([y, y.flip(0)], 1))


def penalty_on_features(model, x, y):
    h = model[0](x)
    return F.cross_entropy(model[1](h), y) + 0.01 * h.square().mean()


def two_layers():
    return nn.Sequential(nn.Linear(6, 5), nn.Linear(5, CLASSES))


def normalised():
    return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, CLASSES))


@pytest.fixture
def measured_by(monkeypatch):
    """The engines that have measured, in order; what refuses has not measured."""
    names = []
    for engine in (MaskedEngine, SplitEngine):

        def measure(self, *args, ordinary=engine.measure):
            found = ordinary(self, *args)
            names.append(self.name)
            return found

        monkeypatch.setattr(engine, "measure", measure)
    return names


def train(model, loss):
    torch.manual_seed(0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(STEPS):
        y = torch.arange(ROWS) % CLASSES
        optimizer.zero_grad()
        loss(model, torch.randn(ROWS, 6) + y[:, None], y[torch.randperm(ROWS)]).backward()
        optimizer.step()


@pytest.mark.parametrize(
    ("network", "loss", "engine", "first_line", "later"),
    [
        (two_layers, plain, "auto", "engine split,", None),
        (two_layers, mixup, "auto", "engine masked,", None),
        (two_layers, chunks, "auto", "engine masked,", None),
        (two_layers, tokens, "auto", "engine masked,", None),
        (two_layers, penalty_on_features, "auto", "engine masked,", None),
        (normalised, plain, "auto", "engine masked,", None),
        (two_layers, mixup, "split", "engine masked (instead of split: several loss calls each have their own labels),", None),
        (normalised, plain, "split", "engine masked (instead of split: train-mode BatchNorm mixes", None),
        (Crossed, plain, "auto", "engine split,", "engine masked measures, instead of split: its input has"),
    ],
)  # fmt: skip
def test_the_engine_that_measures_is_said(start, tmp_path, measured_by, network, loss, engine, first_line, later):
    tracker = start(every=1, groups="a=0-1,b=2-3", engine=engine)
    torch.manual_seed(1)
    train(network(), loss)
    tracker.lens.close()

    (name,) = set(measured_by)
    run = Run(tmp_path / "run")
    assert len(run) >= STEPS - 1
    assert f" {first_line}" in said()[0], said()
    assert f"engine {name}" in (first_line if later is None else later)
    assert [line for line in said() if line.startswith("engine ")] == [
        line for line in said() if later and later in line
    ]
    assert (later is None) == (len(said()) == 1), said()
    assert run.meta.engine == overview(run).engine == name
    assert run.meta.engine_reason == tracker.lens.engine_reason
