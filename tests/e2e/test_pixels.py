"""Segmentation under `gradlens track`: classes of pixels with void ones, for cross-entropy and for Dice, which mixes pixels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.e2e import results
from tests.e2e.both import run_both
from tests.lens.oracle import apart, gram

GROUPS = ("--every", "1", "--groups", "stuff=0-1,things=2-3")
CASES = {
    "ce": ("segmentation with void pixels, cross_entropy", GROUPS, 0),
    "dice": ("segmentation with void pixels, Dice by hand, --labels", (*GROUPS, "--labels", "batch[1]"), 1),
}


def loss_of(style: str, logits: Tensor, y: Tensor) -> Tensor:
    if style == "ce":
        return F.cross_entropy(logits, y, ignore_index=255)
    kept = y != 255
    p, hot = logits.softmax(1).movedim(1, -1)[kept], F.one_hot(y[kept], 4).double()
    return 1 - (2 * (p * hot).sum(0) / (p.sum(0) + hot.sum(0))).mean()


@pytest.mark.slow
@pytest.mark.parametrize("style", CASES)
def test_classes_of_pixels(style: str, tmp_path: Path) -> None:
    title, options, first = CASES[style]
    done = run_both(tmp_path, "pixels.py", style, options=options)
    done.assert_same_training()
    run, worst = done.run, 0.0
    assert run.steps.tolist() == list(range(first, 6))
    kept = torch.load(tmp_path / "tracked" / "steps.pt")
    for row, step in enumerate(run.steps):
        state, x, y = kept[step]
        model = nn.Sequential(nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 4, 1))
        model.load_state_dict(state)
        logits = model.double()(x.double())
        (seed,) = torch.autograd.grad(loss_of(style, logits, y), logits, retain_graph=True)
        vectors = []
        for k, classes in enumerate(((0, 1), (2, 3))):
            inside = torch.isin(y, torch.tensor(classes))
            assert run.counts[row, k] == inside.sum()
            masked = seed * inside.unsqueeze(1)
            vectors.append(torch.autograd.grad(logits, list(model.parameters()), masked, retain_graph=True))
        worst = max(worst, apart(run.gram()[row][:2, :2], gram(vectors)))
    facts = {"tracked": True, "instead": "", "identical": True, "steps": len(run), "engine": run.meta.engine}
    results.note(f"pixels-{style}", area="loss", title=title, exact=worst, **facts)
    assert worst <= 1e-4
