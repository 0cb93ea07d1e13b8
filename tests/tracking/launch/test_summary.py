"""The table at the end of a training goes to the process's own standard error."""

from __future__ import annotations

import io
import sys

import torch
import torch.nn.functional as F

from gradlens import ClassGroups, Lens
from gradlens.tracking.launch.summary import print_summary


def run(folder, steps, monkeypatch) -> str:
    model, x, y = torch.nn.Linear(3, 2), torch.randn(8, 3), torch.arange(8) % 2
    with Lens(model, ClassGroups({"common": [0], "seldom": [1]}, 2), out=folder, every=1) as lens:
        for _ in range(steps):
            lens.backward(F.cross_entropy(model(x), y), y)
    stream = io.StringIO()
    monkeypatch.setattr(sys, "__stderr__", stream)
    print_summary(folder)
    return stream.getvalue()


def test_groups_of_the_run_are_in_the_table(tmp_path, monkeypatch):
    shown = run(tmp_path / "run", 12, monkeypatch)
    assert "common" in shown
    assert "seldom" in shown


def test_a_run_without_a_measured_step_is_one_line(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    shown = run(folder, 0, monkeypatch)
    assert shown == f"gradlens: no step was measured before the training ended; the run is in {folder}\n"
