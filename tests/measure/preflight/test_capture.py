"""A backward pass that is captured into a CUDA graph runs alone: no pass of gradlens is captured with it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradlens import ClassGroups, Lens

GROUPS = ClassGroups({"head": [0, 1], "tail": [2, 3]}, num_classes=4)


def test_a_backward_pass_inside_a_capture_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes of the training are counted while torch says that a CUDA graph is captured."""
    model = nn.Linear(6, 4)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    said: list[str] = []
    lens = Lens(model, GROUPS, optimizer=optimizer, every=1, announce=said.append)
    passes: list[Tensor] = []
    x, y = torch.randn(16, 6), torch.randint(0, 4, (16,))
    logits = model(x)
    logits.register_hook(passes.append)
    monkeypatch.setattr("torch.cuda.is_initialized", lambda: True)
    monkeypatch.setattr("torch.cuda.is_current_stream_capturing", lambda: True)
    lens.backward(F.cross_entropy(logits, y), y, outputs=logits)
    monkeypatch.undo()
    optimizer.step()
    lens.close()
    assert len(passes) == 1
    assert lens.last is None
    assert sum("captured into a CUDA graph" in line for line in said) == 1
