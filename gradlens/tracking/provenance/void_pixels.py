"""Void pixels: in segmentation, 255 marks pixels that have no class, and losses leave them out."""

from __future__ import annotations

from torch import Tensor

# The mark of void pixels in Pascal VOC, Cityscapes, ADE20K and others. It is the largest number of an 8-bit picture.
VOID = 255
# The label that torch's losses ignore unless they are told another one.
IGNORED = -100


def void_label(labels: Tensor, classes: int | None) -> int:
    """Returns the label that stands for "no class": VOID for labels of pixels that have it beside ids of classes, else IGNORED.

    Args:
        labels: [B] or [B, H, W] class ids, or class masses.
        classes: C; None if it is not known. Where 255 may be a class, it is one.
    """
    if labels.is_floating_point() or labels.ndim < 3 or classes is None or classes > VOID:
        return IGNORED
    outside = labels[(labels < 0) | (labels >= classes)]
    return VOID if outside.numel() and bool((outside == VOID).all()) else IGNORED
