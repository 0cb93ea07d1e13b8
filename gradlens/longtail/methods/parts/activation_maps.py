"""Class activation maps, and feature maps that are fused from those of two images (Chu et al. 2020, Sections 3.1 and 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor


def class_activation_maps(maps: Tensor, weights: Tensor) -> Tensor:
    """Returns [B, h, w] where in the feature maps a class is seen, from 0 to 1 within each image.

    It is the positive part of sum_d weights_d maps_d, scaled to 0..1. Grad-CAM weighs each map by the mean gradient of the
    class's logit. With mean pooling and a linear classifier that is the class's weight over the number of positions, so both are
    equal.

    Args:
        maps: [B, d, h, w] feature maps before they are pooled.
        weights: [B, d] the classifier's weights of the class that is looked for in each image.

    Returns:
        [B, h, w]; 0 everywhere if all positions are the same.
    """
    seen = torch.einsum("bdhw,bd->bhw", maps, weights).clamp_min(0)
    low, high = seen.amin((1, 2), keepdim=True), seen.amax((1, 2), keepdim=True)
    return torch.where(high > low, (seen - low) / (high - low), 0)


def fused_maps(
    tail: Tensor, head: Tensor, tail_seen: Tensor, head_seen: Tensor, mask: Tensor, above: float, below: float
) -> Tensor:
    """Returns [B, d, h, w]: at each position either what is specific of a tail image's class, or what is not of a head image's.

    Args:
        tail: [B, d, h, w] feature maps of tail images.
        head: [B, d, h, w] feature maps of head images.
        tail_seen: [B, h, w] activation maps of the tail images' classes.
        head_seen: [B, h, w] activation maps of the head images' classes.
        mask: [B, h, w] bool; True for the tail image, False for the head image.
        above: A position of a tail image counts if its activation is above this; otherwise it is 0.
        below: A position of a head image counts if its activation is below this; otherwise it is 0.
    """
    specific = tail * (tail_seen > above)[:, None]
    generic = head * (head_seen < below)[:, None]
    return torch.where(mask[:, None], specific, generic)
