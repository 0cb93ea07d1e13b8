"""A tracker in the process of the tests, whose patches go away again."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data.dataloader import _BaseDataLoaderIter

from gradlens.runlog import Run
from gradlens.tracking.options import TrackOptions
from gradlens.tracking.watch.tracker import Tracker

PATCHED = {
    F: ("cross_entropy", "nll_loss", "multilabel_soft_margin_loss", "multilabel_margin_loss"),
    torch.autograd: ("backward", "grad"),
    DataLoader: ("__iter__",),
    _BaseDataLoaderIter: ("_next_index", "__next__"),
    saved_tensors_hooks: ("__enter__",),
}


class Trackers:
    """Begins trackers whose runs go to one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.started: list[Tracker] = []

    def __call__(self, **options) -> Tracker:
        """Begins one."""
        tracker = Tracker(TrackOptions(**options), self._folder, lambda: None)
        tracker.start()
        self.started.append(tracker)
        return tracker

    def end(self) -> None:
        """Ends all of them, and their runs."""
        for tracker in self.started:
            tracker.stop()
            if tracker.lens is not None:
                tracker.lens.close()


@contextmanager
def trackers(folder: Path) -> Iterator[Trackers]:
    """Yields what begins trackers; they, their patches and what they said are gone afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        # Setting an attribute to itself has it restored.
        for owner, name in ((owner, name) for owner, names in PATCHED.items() for name in names):
            patch.setattr(owner, name, getattr(owner, name))
        patch.setattr(sys, "__stderr__", io.StringIO())
        begin = Trackers(folder)
        yield begin
        begin.end()


def said() -> list[str]:
    """The lines that gradlens has printed."""
    return [line.removeprefix("gradlens: ") for line in sys.__stderr__.getvalue().splitlines()]


def data(counts=(40, 30, 6)):
    labels = torch.cat([torch.full((n,), c) for c, n in enumerate(counts)])
    return TensorDataset(torch.randn(len(labels), 5, generator=torch.Generator().manual_seed(0)), labels)


def same(found, expected):
    return len(found) == len(expected) and all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def finished(tracker: Tracker, folder: Path) -> Run:
    """The run that a tracker has written below this folder, which tells of no error of ours."""
    tracker.lens.close()
    run = Run(folder / "run")
    assert not [event for event in run.events if event["kind"] == "internal-error"], run.events
    return run


def train(model, batches, loss=F.cross_entropy):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for x, y in batches:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()


def balanced(classes=3, rows=90):
    torch.manual_seed(0)
    y = torch.arange(rows) % classes
    return TensorDataset(torch.randn(rows, 20) + y[:, None], y)
