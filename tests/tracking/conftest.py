"""A tracker in the process of the tests, whose patches go away with the test."""

from __future__ import annotations

import io
import sys

import pytest
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from gradlens.tracking.options import TrackOptions
from gradlens.tracking.tracker import Tracker


@pytest.fixture
def start(monkeypatch, tmp_path):
    """Starts a tracker in this process, and takes its patches away afterwards."""
    # Setting an attribute to itself makes monkeypatch restore it.
    patched = {
        F: ["cross_entropy", "nll_loss"],
        torch.Tensor: ["backward"],
        torch.autograd: ["backward", "grad"],
        DataLoader: ["__iter__"],
    }
    for owner, name in ((owner, name) for owner, names in patched.items() for name in names):
        monkeypatch.setattr(owner, name, getattr(owner, name))
    monkeypatch.setattr(sys, "__stderr__", io.StringIO())
    started = []

    def begin(**options):
        tracker = Tracker(TrackOptions(**options), tmp_path / "run", lambda: None)
        tracker.start()
        started.append(tracker)
        return tracker

    yield begin
    for tracker in started:
        tracker.stop()
        if tracker.lens is not None:
            tracker.lens.close()
