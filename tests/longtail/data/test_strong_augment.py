"""Stronger augmentation: rotation against torchvision's, cutout by hand, and what torchvision draws."""

import pytest
import torch
from torchvision.transforms import v2

from gradlens.longtail.data.augment import crop_and_flip, random_crop
from gradlens.longtail.data.labelled_images import STANDARD
from gradlens.longtail.data.strong_augment import (
    autoaugment,
    colours,
    cutout,
    further_augmentations,
    random_rotation,
    rotate,
)
from gradlens.longtail.tasks.digits import digits_task


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(batch=16, channels=3, height=12, width=12):
    return torch.randint(1, 256, (batch, channels, height, width), dtype=torch.uint8, generator=generator())


@pytest.mark.parametrize("size", [(12, 12), (9, 14)])
def test_each_image_is_rotated_as_torchvision_does_it(size):
    x = images(24, 3, *size)
    angles = torch.linspace(-15, 15, 24)
    one_by_one = torch.stack([v2.functional.rotate(each, float(a)) for each, a in zip(x, angles, strict=True)])
    differs = (rotate(x, angles) != one_by_one).any(1)  # [B, H, W]
    assert float(differs.float().mean()) < 0.002  # pixels halfway between two others
    quarter = rotate(images(1, 1, 8, 8), torch.tensor([90.0]))
    assert torch.equal(quarter, images(1, 1, 8, 8).rot90(1, (2, 3)))


def test_angles_fill_the_range_and_differ_within_a_batch():
    """Each pixel holds its row, so the pixels left and right of the centre say the angle."""
    x = torch.arange(129.0).reshape(1, 1, 129, 1).expand(300, 1, 129, 129)
    turned = random_rotation(x, 15.0, generator())
    angles = torch.rad2deg(torch.asin((turned[:, 0, 64, 124] - turned[:, 0, 64, 4]) / 120))
    assert 14 < float(angles.max()) < 15.5
    assert -15.5 < float(angles.min()) < -14
    assert abs(float(angles.mean())) < 2
    assert float(angles.std()) == pytest.approx(30 / 12**0.5, rel=0.1)


def test_a_square_of_the_side_is_cut_out_and_may_lie_outside():
    x = images(3000, 2, 8, 8)
    holes = cutout(x, 4, generator()) == 0
    assert torch.equal(holes[:, 0], holes[:, 1])
    assert torch.equal(cutout(x, 4, generator())[~holes], x[~holes])
    rows, columns = holes[:, 0].any(2).sum(1), holes[:, 0].any(1).sum(1)
    assert torch.equal(holes[:, 0].sum((1, 2)), rows * columns)  # a rectangle
    # The centres 0, 1, 2..6, 7 leave 2, 3, 4, 3 rows: shares 1/8, 1/8, 5/8, 1/8.
    counts = torch.bincount(rows, minlength=5)[2:]
    expected = 3000 * torch.tensor([1, 2, 5]) / 8
    assert float(((counts - expected) ** 2 / expected).sum()) < 13.8  # chi-square with 2 degrees of freedom, 99.9 %


@pytest.mark.parametrize("augment", [autoaugment, colours])
@pytest.mark.parametrize("channels", [1, 3])
def test_torchvisions_draws_come_from_the_generator_alone(augment, channels):
    x, before = images(12, channels), torch.get_rng_state()
    first, again, other = (augment(x, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert (first.shape, first.dtype) == (x.shape, torch.uint8)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert sum(not torch.equal(a, b) for a, b in zip(first, x, strict=True)) > 4  # each image by itself


def test_one_image_is_changed_as_by_the_policy():
    x = images(1)
    seed = int(torch.randint(2**63 - 1, (), generator=generator(5)))
    policy = v2.AutoAugment(v2.AutoAugmentPolicy.CIFAR10, v2.InterpolationMode.BILINEAR, [128.0] * 3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        expected = policy(x[0])
    assert torch.equal(autoaugment(x, generator(5))[0], expected)


def test_floats_are_changed_as_their_bytes_are():
    x = images(8, 1)
    assert torch.equal((255 * autoaugment(x.float() / 255, generator(3))).round().byte(), autoaugment(x, generator(3)))


def test_the_named_ones_begin_with_the_standard_one():
    named = further_augmentations()
    assert list(named) == ["rotation", "autoaugment-cutout", "colours"]
    x, together = images(6, 3, 32, 32), generator()
    expected = random_rotation(crop_and_flip(x, together), 15.0, together)
    assert torch.equal(named["rotation"](x, generator()), expected)
    together = generator()
    expected = cutout(autoaugment(crop_and_flip(x, together), together), 16, together)
    assert torch.equal(named["autoaugment-cutout"](x, generator()), expected)


@pytest.mark.parametrize("flips", [True, False])
def test_colours_mirror_only_where_a_mirrored_image_is_of_the_class(flips):
    """Images that are bright on the left: with flips about half are bright on the right."""
    x = torch.zeros(60, 1, 16, 16, dtype=torch.uint8)
    x[..., :8] = 200
    changed = further_augmentations(flips=flips)["colours"](x, generator()).float()
    right = int((changed[..., 8:].mean((1, 2, 3)) > changed[..., :8].mean((1, 2, 3)) + 1).sum())
    assert 15 < right < 45 if flips else right == 0


def test_the_digits_have_all_of_them_and_the_standard_one_is_as_ever():
    train = digits_task().train
    assert train.augmentations == (STANDARD, "rotation", "autoaugment-cutout", "colours")
    positions = torch.arange(9)
    (plain, _), *_ = train.batches(positions, 9, augmented=False)
    (standard, _), *_ = train.batches(positions, 9, augmented=True, seed=4)
    assert torch.equal(standard, random_crop(plain, 1, generator(4)))
    (coloured, _), *_ = train.batches(positions, 9, augmented=True, seed=4, augmentation="colours")
    assert torch.equal(coloured, colours(plain, generator(4), flips=False))  # a mirrored digit is none
    assert not torch.equal(coloured, colours(plain, generator(4)))
    for name in train.augmentations[1:]:
        (changed, _), *_ = train.batches(positions, 9, augmented=True, seed=4, augmentation=name)
        assert (changed.shape, changed.dtype) == (plain.shape, plain.dtype)
        assert not torch.equal(changed, standard)
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 1
