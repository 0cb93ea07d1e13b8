"""The task of long-tailed handwritten digits. They are real data, need no download and train in seconds."""

from __future__ import annotations

from typing import Any

import torch

from gradlens.longtail.data.augment import random_crop
from gradlens.longtail.data.digits import load_digits
from gradlens.longtail.data.labelled_images import TensorImages
from gradlens.longtail.data.strong_augment import further_augmentations
from gradlens.longtail.errors import LongTailError
from gradlens.longtail.networks.digit_net import DigitNet
from gradlens.longtail.networks.network import Network
from gradlens.longtail.recipe.settings import Setting, Settings
from gradlens.longtail.recipe.task import Task
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
    *, imbalance: float = IMBALANCE, balanced: bool = False, subset_seed: int = 0, device: torch.device | str = "cpu"
) -> Task:
    """Returns the task of the digits.

    Args:
        imbalance: Largest over smallest class. Class 0 has 124 images.
        balanced: True to train on a balanced subset of as many images. Groups and shots stay those of the long-tailed subset.
        subset_seed: Seed of the class order and of the subset.
        device: Device that holds the images.

    Raises:
        DatasetNotFoundError: scikit-learn is not installed.
    """
    digits = load_digits(subset_seed)
    long_tailed = digits.long_tailed(imbalance, subset_seed)
    train = digits.balanced(len(long_tailed), subset_seed) if balanced else long_tailed

    def crop(images: Any, generator: torch.Generator | None) -> Any:
        return random_crop(images, 1, generator)

    return Task(
        name="digits-balanced" if balanced else "digits",
        train=TensorImages(train, device, augment=crop, further=further_augmentations(crop)),
        evaluations={"test": TensorImages(digits.test, device)},
        counts=long_tailed.counts(),
        network=_network,
        settings=SETTINGS,
        source="handwritten digits of scikit-learn",
    )
