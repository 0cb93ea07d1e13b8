"""255 is void only in labels of pixels, and only where it cannot be a class."""

from __future__ import annotations

import torch

from gradlens.tracking.provenance.void_pixels import IGNORED, VOID, void_label

PIXELS = torch.tensor([[[0, 1], [3, 255]]])


def test_pixels_without_a_class() -> None:
    assert void_label(PIXELS, 4) == VOID
    assert void_label(PIXELS.to(torch.uint8), 4) == VOID


def test_everything_else_is_as_before() -> None:
    assert void_label(PIXELS.clamp(max=3), 4) == IGNORED
    assert void_label(PIXELS, 256) == IGNORED, "255 is a class"
    assert void_label(PIXELS, None) == IGNORED
    assert void_label(PIXELS, 3) == IGNORED, "3 is no class either, so these are other labels"
    assert void_label(PIXELS.flatten(), 4) == IGNORED
    assert void_label(PIXELS.float(), 4) == IGNORED
