"""Arithmetic of gradient vectors with gaps, against numbers worked by hand."""

from __future__ import annotations

import pytest
import torch

from gradlens.autograd.arithmetic import relative_difference, zeroed


def test_differences_of_small_gradients_are_seen() -> None:
    for tiny in (torch.tensor([1e-30, 0.0]), torch.tensor([1e-200, 0.0], dtype=torch.float64)):
        assert float(relative_difference([tiny * 1.5], [tiny])) == pytest.approx(0.5, rel=1e-6)
        assert zeroed([tiny, torch.zeros(2), None, torch.empty(0)]) == [False, True, True, True]
