"""Labels that a script trains on against those of the samples that its loader has drawn."""

from __future__ import annotations

import pytest
import torch

from gradlens.tracking.find.drawn_samples import DrawnSamples

CLAIMED = torch.tensor([0, 1, 2, 3, 0, 1, 2, 3]).numpy()


@pytest.mark.parametrize(
    ("trained", "agrees"),
    [
        pytest.param([3, 1, 0], True, id="the batch"),
        pytest.param([1, 0], True, id="a part of it"),
        pytest.param([3, 1, 0, 3, 1, 0], True, id="two views, one after the other"),
        pytest.param([3, 3, 1, 1, 0, 0], True, id="two views, side by side"),
        pytest.param([1, 3, 0], False, id="another order"),
        pytest.param([3, 1, 0, 2], False, id="more than the batch"),
        pytest.param([3, 1, 0, 3, 1, 1], False, id="views of something else"),
    ],
)
def test_labels_agree_with_what_was_drawn(trained, agrees):
    drawn = DrawnSamples(None)
    drawn.add([7, 5, 4])
    assert drawn.agree(CLAIMED, torch.tensor(trained).numpy()) is agrees


@pytest.mark.parametrize("index", [[8], ["a"], [[1, 2]], [], None, [0.5]])
def test_indices_of_another_kind_prove_nothing(index):
    drawn = DrawnSamples(None)
    drawn.add(index)
    assert not drawn.agree(CLAIMED, torch.tensor([0]).numpy())
