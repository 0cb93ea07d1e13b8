"""Stronger augmentation of whole batches: rotation, AutoAugment with Cutout, and the colours of MoCo v2.

Their place is that of ``crop_and_flip``: before normalisation, so that 0 is black. Images are bytes, or floats in 0..1.
AutoAugment and the colours are torchvision's. torchvision draws for one image at a time, and from the global random state,
which is put back here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gradlens.longtail.data.augment import crop_and_flip
from gradlens.longtail.data.labelled_images import Augment

Generator = torch.Generator | None
ROTATION = "rotation"
AUTOAUGMENT = "autoaugment-cutout"
COLOURS = "colours"


def further_augmentations(
    crop: Callable[[Tensor, Generator], Tensor] = crop_and_flip, *, flips: bool = True
) -> Mapping[str, Augment]:
    """Returns the further augmentations of small images by name.

    Args:
        crop: The standard augmentation of the images, with which "rotation" and "autoaugment-cutout" begin.
        flips: False if a mirrored image is none of its class, as of digits. "colours" does not flip then.
    """

    def rotation(images: Tensor, generator: Generator) -> Tensor:
        return random_rotation(crop(images, generator), 15.0, generator)

    def autoaugment_cutout(images: Tensor, generator: Generator) -> Tensor:
        return cutout(autoaugment(crop(images, generator), generator), images.shape[-1] // 2, generator)

    return {ROTATION: rotation, AUTOAUGMENT: autoaugment_cutout, COLOURS: partial(colours, flips=flips)}


def random_rotation(images: Tensor, degrees: float, generator: Generator = None) -> Tensor:
    """Rotates each image about its centre by an angle in [-degrees, degrees] (RIDE and SADE: 15).

    It does for each image what torchvision's RandomRotation does: the nearest pixel, and zeros where there is none.

    Args:
        images: [B, channels, height, width], any dtype.
        degrees: The largest angle.
        generator: Source of the angles, one per image.

    Returns:
        [B, channels, height, width] of the same dtype.
    """
    device = images.device if generator is None else generator.device
    angles = torch.rand(len(images), generator=generator, device=device).to(images.device)
    return rotate(images, (2 * angles - 1) * degrees)


def rotate(images: Tensor, degrees: Tensor) -> Tensor:
    """Rotates each image about its centre, counter-clockwise.

    Args:
        images: [B, channels, height, width], any dtype.
        degrees: [B] angles.

    Returns:
        [B, channels, height, width] of the same dtype.
    """
    height, width = images.shape[2:]
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    zero = torch.zeros_like(cos)
    # the inverse rotation, in coordinates of which each side of the image is 2
    rows = [torch.stack([cos, -sin * height / width, zero], 1), torch.stack([sin * width / height, cos, zero], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return F.grid_sample(images.float(), grid, "nearest", "zeros", align_corners=False).to(images.dtype)


def cutout(images: Tensor, side: int, generator: Generator = None) -> Tensor:
    """Sets a square of each image to zero (DeVries and Taylor 2017). Its centre is any pixel, so a part may lie outside.

    Args:
        images: [B, channels, height, width], any dtype.
        side: Side of the square in pixels; references have 16 for images of 32.
        generator: Source of the centres, one per image.

    Returns:
        [B, channels, height, width] of the same dtype.
    """
    device = images.device if generator is None else generator.device
    inside = []
    for pixels in images.shape[2:]:
        centre = torch.randint(0, pixels, (len(images), 1), generator=generator, device=device).to(images.device)
        place = torch.arange(pixels, device=images.device)
        inside.append((place >= centre - side // 2) & (place < centre + side // 2))  # [B, pixels]
    hole = inside[0][:, None, :, None] & inside[1][:, None, None, :]
    return images.masked_fill(hole, 0)


def autoaugment(images: Tensor, generator: Generator = None) -> Tensor:
    """Applies a random sub-policy of AutoAugment's CIFAR-10 policy to each image (Cubuk et al. 2019).

    The policy is torchvision's. Its bilinear interpolation and random sign of rotations differ from the PIL code that most
    long-tail repositories use (bicubic, and rotations in one direction); empty places are grey (128) as there.

    Args:
        images: [B, channels, height, width], bytes or floats in 0..1.
        generator: Source of the random choices.

    Returns:
        [B, channels, height, width] of the same dtype.
    """
    from torchvision.transforms import v2

    policy = v2.AutoAugment(
        v2.AutoAugmentPolicy.CIFAR10, interpolation=v2.InterpolationMode.BILINEAR, fill=[128.0] * images.shape[1]
    )
    return _one_by_one(policy, images, generator)


def colours(images: Tensor, generator: Generator = None, *, flips: bool = True) -> Tensor:
    """Applies the augmentation of MoCo v2 in PaCo's sizes: a crop of 20 to 100 % of the area, a flip, colours, grey, blur.

    Colour jitter (0.4, 0.4, 0.4, 0.1) has the probability 0.8, grey 0.2, and a Gaussian blur with sigma 0.1 to 2 has 0.5. The
    blur's window is about a tenth of the side (SimCLR), at least 3 pixels.

    Args:
        images: [B, channels, height, width], bytes or floats in 0..1.
        generator: Source of the random choices.
        flips: False to leave out the flip.

    Returns:
        [B, channels, height, width] of the same dtype.
    """
    from torchvision.transforms import v2

    height, width = images.shape[2:]
    window = max(3, height // 10 // 2 * 2 + 1)
    transform = v2.Compose(
        [
            v2.RandomResizedCrop((height, width), scale=(0.2, 1.0), antialias=True),
            *([v2.RandomHorizontalFlip()] if flips else []),
            v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.4, 0.1)], 0.8),
            v2.RandomGrayscale(0.2),
            v2.RandomApply([v2.GaussianBlur(window, (0.1, 2.0))], 0.5),
        ]
    )
    return _one_by_one(transform, images, generator)


def _one_by_one(transform: Callable[[Tensor], Tensor], images: Tensor, generator: Generator) -> Tensor:
    """Applies a transform of torchvision to each image as bytes. The global random state stays as it was."""
    device = images.device if generator is None else generator.device
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=device))
    as_bytes = images if images.dtype == torch.uint8 else (255 * images).round().byte()
    before = torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(seed)
        changed = torch.stack([transform(image) for image in as_bytes])
    finally:
        torch.set_rng_state(before)
    return changed if images.dtype == torch.uint8 else changed.to(images.dtype) / 255
