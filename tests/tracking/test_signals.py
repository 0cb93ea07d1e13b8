"""What a signal handler of the script raises reaches the script, though it comes in the middle of a measurement."""

from __future__ import annotations

import signal

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradlens.measure.meter import StepMeter
from tests.tracking.in_process import finished


class OutOfTime(Exception):
    """Raised by the handler."""


def out_of_time(*_):
    raise OutOfTime


def test_what_a_handler_raises_reaches_the_script(start, tmp_path, monkeypatch):
    tracker = start(every=1, groups="head=0,tail=1-2")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = torch.randn(12, 5), torch.arange(12) % 3
    ordinary, due = StepMeter.measure, []

    def measure(*args, **named):
        if due:
            due.pop()
            signal.raise_signal(signal.SIGUSR1)
        return ordinary(*args, **named)

    monkeypatch.setattr(StepMeter, "measure", measure)
    before = signal.signal(signal.SIGUSR1, out_of_time)
    try:
        for step in range(6):
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            if step == 3:
                due.append(True)
                with pytest.raises(OutOfTime):
                    loss.backward()
                continue
            loss.backward()
            optimizer.step()
    finally:
        signal.signal(signal.SIGUSR1, before)

    run = finished(tracker, tmp_path)
    assert run.steps.tolist()[-2:] == [2, 4]  # the step that the error cut off is left out
    assert (run.residual < 1e-5).all()
