"""The norms of two groups' gradients by autograd, and as a run has them."""

from __future__ import annotations

import numpy as np
import torch

from gradlens.runlog import Run

C = 5
GROUPS = "head=0-1,tail=2-4"
HEAD = torch.tensor([0, 1])


def norms(losses, labels, params):
    parts = (torch.isin(labels, HEAD), ~torch.isin(labels, HEAD))
    return [norm(torch.autograd.grad((losses * p).sum(), params, retain_graph=True, allow_unused=True)) for p in parts]


def norm(gradients):
    return float(sum(g.double().square().sum() for g in gradients if g is not None) ** 0.5)


def measured(tracker, folder):
    tracker.lens.close()
    run = Run(folder / "run")
    assert not [event for event in run.events if event["kind"] == "internal-error"], run.events
    return run, np.stack([run.norm("head"), run.norm("tail")], axis=1)
