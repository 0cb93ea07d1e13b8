"""Random crops, random flips and normalisation of whole batches, on the device that holds the images."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor


def random_crop(images: Tensor, padding: int, generator: torch.Generator | None = None) -> Tensor:
    """Pads each image with zeros and cuts out a window of the original size at a random place.

    Args:
        images: [B, channels, height, width], any dtype.
        padding: Pixels added on each side.
        generator: Source of the random offsets, one pair per image. It draws on its own device.

    Returns:
        [B, channels, height, width] of the same dtype.
    """
    batch, _, height, width = images.shape
    device = images.device if generator is None else generator.device
    offsets = torch.randint(0, 2 * padding + 1, (2, batch), generator=generator, device=device).to(images.device)
    windows = (
        F.pad(images, (padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
    )  # [B, channels, 2p+1, 2p+1, height, width], a view
    return windows[torch.arange(batch, device=images.device), :, offsets[0], offsets[1]]


def random_flip(images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Mirrors each image left to right with probability 1/2. Shapes and dtypes are as in ``random_crop``."""
    device = images.device if generator is None else generator.device
    flip = torch.randint(0, 2, (len(images), 1, 1, 1), generator=generator, device=device).to(images.device)
    return torch.where(flip.bool(), images.flip(3), images)


def crop_and_flip(images: Tensor, generator: torch.Generator | None = None, padding: int = 4) -> Tensor:
    """Applies the augmentation of the CIFAR recipes: a random crop with padding 4, then a random horizontal flip."""
    return random_flip(random_crop(images, padding, generator), generator)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Returns (images / 255 - mean) / std as float32, channel by channel.

    Args:
        images: [B, channels, height, width] uint8.
        mean: [channels] of values in 0..1.
        std: [channels] of values in 0..1.

    Raises:
        TypeError: The images are not bytes. Otherwise a second division by 255 would go unnoticed.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"normalise takes uint8 images, got {images.dtype}; pass the bytes as they were loaded")
    scale, shift = _scale_and_shift(tuple(mean), tuple(std), images.device)
    return torch.addcmul(shift, images.float(), scale)


@cache
def _scale_and_shift(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    """Returns the factors and offsets of ``normalise``, each [channels, 1, 1] on the device.

    They are cached, since a copy to a GPU waits for all work in its queue.
    """
    scale = torch.tensor([1 / (255 * s) for s in std], device=device).view(-1, 1, 1)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device).view(-1, 1, 1)
    return scale, shift
