"""The task of long-tailed handwritten digits. They are real data, need no download and train in seconds."""

from __future__ import annotations

from typing import Any

import torch

from gradlens.longtail.data.augment import random_crop
from gradlens.longtail.data.digits import load_digits
from gradlens.longtail.data.labelled_images import LabelledImages, TensorImages
from gradlens.longtail.data.strong_augment import further_augmentations
from gradlens.longtail.data.validation import SPLIT
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.networks.digit_net import DigitNet
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task
from gradlens.longtail.tasks.choice import choose
from gradlens.longtail.tasks.computing import computed, computing_settings

_OWN = "gradlens: chosen for this data"
IMBALANCE = 50.0
SETTINGS = Settings(
    {
        "backbone": Setting("digit-net", _OWN),
        "epochs": Setting(30, _OWN),
        "batch": Setting(32, _OWN),
        "learning_rate": Setting(0.05, _OWN),
        "schedule": Setting("cosine", _OWN),
        "steps_at": Setting((0.8, 0.9), _OWN),
        "steps_by": Setting(0.1, _OWN),
        "warm_up": Setting(0, _OWN),
        "momentum": Setting(0.9, _OWN),
        "weight_decay": Setting(5e-4, _OWN),
        "augmentation": Setting("standard", "gradlens: crops, since a mirrored digit is none"),
        **computing_settings("contiguous_format"),
    }
)


def _network(settings: Settings, signed: bool) -> Network:
    if settings["backbone"] != "digit-net":
        raise LongTailError(f"backbone={settings['backbone']!r}; the 8 x 8 digits have 'digit-net' only")
    return computed(DigitNet(signed_features=signed), settings)


def digits_task(
    *,
    imbalance: float = IMBALANCE,
    balanced: bool = False,
    subset_seed: int = 0,
    validation: int | None = None,
    device: torch.device | str = "cpu",
) -> Task:
    """Returns the task of the digits.

    Args:
        imbalance: Largest over smallest class. Class 0 has 124 images.
        balanced: True to train on a balanced subset of as many images. Groups and shots stay those of the long-tailed subset.
        subset_seed: Seed of the class order and of the subset.
        validation: Validation images of each class, taken from the training images (see ``hold_out``); None = none.
        device: Device that holds the images.

    Raises:
        DatasetNotFoundError: scikit-learn is not installed.
        LongTailError: A class would have no images.
    """
    digits = load_digits(subset_seed)
    choice = choose(digits.pool.labels.numpy(), imbalance, balanced, subset_seed, validation)
    evaluations: dict[str, LabelledImages] = {"test": TensorImages(digits.test, device)}
    if choice.held_out is not None:
        evaluations = {SPLIT: TensorImages(digits.subset(choice.held_out.validation), device)} | evaluations

    def crop(images: Any, generator: torch.Generator | None) -> Any:
        return random_crop(images, 1, generator)

    return Task(
        name="digits-balanced" if balanced else "digits",
        train=TensorImages(
            digits.subset(choice.train), device, augment=crop, further=further_augmentations(crop, flips=False)
        ),
        evaluations=evaluations,
        counts=choice.long_tailed.counts,
        network=_network,
        settings=SETTINGS,
        source="handwritten digits of scikit-learn",
        held_out=choice.held_out,
    )
